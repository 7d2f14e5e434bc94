"""Client programs of the balancer's API, as their authors print them, run against controld: shell, Python, JavaScript."""
import contextlib
import io
import json
import os
import subprocess

import pytest
from portway import ROOT, Api

PASSWORD = "a long password"


def program(name, **words):
    """Unchanged but for the words that stand for somebody's own."""
    with open(os.path.join(ROOT, "tests", "programs", "balancer", name), encoding="utf-8") as f:
        text = f.read()
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def make_tenant(fleet, name):
    made = fleet.api.post("/api/tenants", {"name": name, "plan": "enterprise", "dial_allow": ["10.0.0.0/8"]}, expect=201)
    fleet.api.post(f"/api/tenants/{made['id']}/users", {"email": f"admin@{name}.example", "role": "admin", "password": PASSWORD},
                   expect=201)
    api = Api(fleet.controld.base)
    api.login(f"admin@{name}.example", PASSWORD)
    return made["id"], api


def shell(fleet, script, *lines):
    functions = program("manage_sh.txt").replace("http://localhost:8080", fleet.controld.base).split("# Main execution")[0]
    out = subprocess.run(["bash", "-c", "\n".join([functions, *lines])], capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == script, out
    return out.stdout


def test_shell_functions(fleet):
    tenant, api = make_tenant(fleet, "shell")
    login = f"login admin@shell.example '{PASSWORD}' {tenant}"
    assert shell(fleet, 1, f"login admin@shell.example wrong-password {tenant}") == "Login failed!\n"
    out = shell(fleet, 0, login, "create_pool web_servers weighted_round_robin")
    first, pool = out.split("\n", 1)
    pool = json.loads(pool)
    assert first == "Login successful!"
    assert (pool["name"], pool["algorithm"], pool["sticky_sessions"]) == ("web_servers", "weighted_round_robin", False)
    assert {k: pool["health_check"][k] for k in ("enabled", "path", "interval", "timeout")} == {
        "enabled": True, "path": "/health", "interval": "30s", "timeout": "5s"}
    backend = json.loads(shell(fleet, 0, login, "add_backend 10.0.1.10:8080 web_servers 100").split("\n", 1)[1])
    assert (backend["address"], backend["pool"], backend["weight"]) == ("10.0.1.10:8080", "web_servers", 100)
    assert backend["status"] in ("unknown", "healthy", "unhealthy")
    listed = json.loads(shell(fleet, 0, login, "list_pools").split("\n", 1)[1])
    assert [b["id"] for b in listed["backends"]] == [backend["id"]]
    metrics = json.loads(shell(fleet, 0, login, "get_ai_metrics").split("\n", 1)[1])
    assert metrics["enabled"] is False and metrics["model_performance"] == {}
    assert metrics["prediction_data"]["confidence"] == 0.0 and metrics["prediction_data"]["predicted_load"] == 0.0
    health = json.loads(shell(fleet, 0, "health_check"))
    assert health["status"] == "healthy" and health["components"]["load_balancer"] == "healthy"
    again = json.loads(shell(fleet, 0, login, "create_pool web_servers round_robin").split("\n", 1)[1])
    assert (again["error"], again["code"]) == (True, "POOL_ALREADY_EXISTS")
    assert api.get("/api/pools/web_servers")["algorithm"] == "weighted_round_robin"


def test_python_client(fleet):
    tenant, api = make_tenant(fleet, "python")
    names = {"__name__": "client"}
    exec(compile(program("client_py.txt"), "client.py", "exec"), names)  # pylint: disable=exec-used
    client = names["VeloFluxClient"](fleet.controld.base)
    client.session.trust_env = False
    assert client.login("admin@python.example", PASSWORD, tenant)["success"] is True
    with contextlib.redirect_stdout(io.StringIO()) as out:
        names["setup_production_environment"](client)
    assert out.getvalue() == "Production environment setup complete!\n"
    (pool,) = client.get_pools()
    assert (pool["name"], pool["algorithm"]) == ("api_production", "adaptive_ai")
    assert [(b["address"], b["weight"], b["region"]) for b in pool["backends"]] == [
        ("10.0.1.10:8080", 100, "us-east-1"), ("10.0.1.11:8080", 100, "us-east-1"), ("10.0.2.10:8080", 80, "us-west-2")]
    assert pool["health_check"]["expected_status"] == 200 and pool["health_check"]["path"] == "/api/health"
    config = api.get("/api/ai/config")
    assert (config["enabled"], config["model_type"], config["confidence_threshold"], config["predictive_scaling"]) == (
        True, "neural_network", 0.8, True)
    assert client.update_pool("api_production", sticky_sessions=True)["sticky_sessions"] is True
    old = client.token
    assert client.refresh_auth_token() is True and client.token
    client.token = old

    def once(_seconds):
        raise KeyboardInterrupt

    names["time"].sleep, kept = once, names["time"].sleep
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            names["monitor_system_health"](client, tenant)
    finally:
        names["time"].sleep = kept
    assert out.getvalue() == ("System status: healthy\nAI Confidence: 0.00%\nRPS: 0.0, Error Rate: 0.00%\nMonitoring stopped\n")
    with pytest.raises(names["requests"].HTTPError, match="409"):
        client.create_pool("api_production", "round_robin")
    assert client.delete_pool("api_production") is True and client.get_pools() == []


SHIM = """
const kept = {};
globalThis.localStorage = { getItem: k => kept[k] ?? null, setItem: (k, v) => { kept[k] = v; }, removeItem: k => { delete kept[k]; } };
"""
STORY = """
(async () => {
  const api = new VeloFluxAPI(process.env.BASE);
  const said = {};
  try { await api.login(process.env.EMAIL, 'wrong-password', process.env.TENANT); } catch (e) { said.refused = e.message; }
  const login = await api.login(process.env.EMAIL, process.env.PASSWORD, process.env.TENANT);
  said.user = login.user;
  said.empty = await api.getPools();
  said.pool = await api.createPool({name: 'new-pool', algorithm: 'round_robin', sticky_sessions: false,
    health_check: {enabled: true, path: '/health', interval: '30s', timeout: '5s'}});
  said.updated = await api.updatePool('new-pool', {algorithm: 'adaptive_ai', sticky_sessions: true});
  said.backend = await api.addBackend({address: '10.0.1.1:80', pool: 'new-pool', weight: 100});
  said.pools = await api.getPools();
  said.ai = await api.getAIMetrics();
  said.config = await api.updateAIConfig({enabled: true, model_type: 'neural_network', learning_rate: 0.001});
  said.metrics = await api.getTenantMetrics(process.env.TENANT);
  said.usage = await api.getTenantUsage(process.env.TENANT);
  api.token = 'expired';                                  // the next call refreshes it by itself
  said.after_refresh = (await api.getPools()).pools.length;
  said.kept = localStorage.getItem('authToken') === api.token && api.token !== 'expired';
  try { await api.createPool({name: 'bad', algorithm: 'best'}); } catch (e) { said.wrong = e.message; }
  said.deleted = await api.deletePool('new-pool');
  api.logout();
  said.out = [api.token, localStorage.getItem('refreshToken')];
  console.log(JSON.stringify(said));
})().catch(e => { console.error(e); process.exit(1); });
"""


def test_javascript_class(fleet, tmp_path):
    tenant, _ = make_tenant(fleet, "javascript")
    path = tmp_path / "api.js"
    path.write_text(SHIM + program("api_js.txt") + STORY)
    env = {"PATH": os.environ["PATH"], "BASE": fleet.controld.base, "EMAIL": "admin@javascript.example", "PASSWORD": PASSWORD,
           "TENANT": tenant}
    out = subprocess.run(["node", str(path)], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == 0, out.stderr
    said = json.loads(out.stdout)
    assert "wrong" in said["refused"] or "password" in said["refused"], said["refused"]
    assert (said["user"]["email"], said["user"]["tenant_id"], said["user"]["role"]) == ("admin@javascript.example", tenant, "admin")
    assert said["empty"]["pools"] == []
    assert (said["pool"]["name"], said["pool"]["health_check"]["path"]) == ("new-pool", "/health")
    assert (said["updated"]["algorithm"], said["updated"]["sticky_sessions"]) == ("adaptive_ai", True)
    assert said["backend"]["address"] == "10.0.1.1:80" and said["backend"]["weight"] == 100
    assert [b["id"] for b in said["pools"]["pools"][0]["backends"]] == [said["backend"]["id"]]
    assert said["ai"]["current_algorithm"] == "adaptive_ai" and said["ai"]["prediction_data"]["confidence"] == 0
    assert said["config"]["model_type"] == "neural_network" and said["config"]["enabled"] is True
    assert said["metrics"] == {"requests_per_second": 0, "response_time_avg": 0, "error_rate": 0,
                               "bandwidth_usage": {"inbound_mb": 0, "outbound_mb": 0}, "top_endpoints": []}
    assert said["usage"]["requests_per_month"] == 0 and said["usage"]["tenant_id"] == tenant
    assert said["after_refresh"] == 1 and said["kept"] is True
    assert said["wrong"].startswith("algorithm: 'best' must be one of")
    assert said["deleted"] is True and said["out"] == [None, None]


def test_what_the_programs_do_not_ask(fleet):
    tenant, api = make_tenant(fleet, "others")
    status = api.get("/api/ai/status")
    assert (status["status"], status["models"]) == ("disabled", [])
    (prediction,) = api.get("/api/ai/predictions")["predictions"]
    assert prediction["confidence"] == 0.0 and prediction["scaling_recommendation"] == "none" and prediction["reason"]
    assert api.post("/api/ai/models/neural_network/retrain", expect=503)["code"] == "AI_SERVICE_UNAVAILABLE"
    api.post("/api/ai/models/magic/retrain", expect=422)
    wrong = api.put("/api/ai/config", {"model_type": "magic", "confidence_threshold": 2}, expect=422)
    assert sorted(d["field"] for d in wrong["details"]) == ["confidence_threshold", "model_type"]
    mine = api.get(f"/api/tenants/{tenant}/status")
    assert (mine["status"], mine["plan"], mine["users"], mine["pools"]) == ("active", "enterprise", 1, 0)
    assert mine["relays"] == {"total": 1, "online": 1}
    logs = api.get(f"/api/tenants/{tenant}/logs?limit=2&level=info")["logs"]
    assert len(logs) == 2 and {"timestamp", "level", "event", "message", "actor", "request_id"} <= set(logs[0])
    Api(fleet.controld.base).post("/auth/login", {"email": "admin@others.example", "password": "not-the-one"}, expect=401)
    assert api.get(f"/api/tenants/{tenant}/logs?level=warn")["logs"][0]["event"] == "login.login_failed"
    assert api.get(f"/api/tenants/{tenant}/logs?level=error")["logs"] == []
    everything = api.get(f"/api/tenants/{tenant}/logs?limit=200")
    paged, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/api/tenants/{tenant}/logs?limit=2{cursor}")
        paged += page["logs"]
        cursor = page["next_cursor"] and "&cursor=" + page["next_cursor"]
    assert everything["next_cursor"] is None and len(paged) >= 4 and paged[-len(everything["logs"]):] == everything["logs"]
    wrong = api.get(f"/api/tenants/{tenant}/logs?cursor=x", expect=422)
    assert wrong["message"].startswith("cursor"), wrong
    for part in ("metrics", "logs", "usage", "status"):
        assert api.get(f"/api/tenants/default/{part}", expect=404)["code"] == "TENANT_NOT_FOUND"
        fleet.api.get(f"/api/tenants/{tenant}/{part}")
    general = api.get("/api/status")
    assert general["status"] == "running" and "adaptive_ai" in general["algorithms"]
    assert general["plans"]["professional"] == {"requests_per_hour": 1000}
    profile = api.get("/api/profile")
    assert (profile["email"], profile["tenant_id"], profile["role"]) == ("admin@others.example", tenant, "admin")
