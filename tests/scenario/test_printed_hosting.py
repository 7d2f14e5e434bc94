"""The client snippets that the hosting platform's reference prints run as printed, but for the address and what stands for a
value of one's own: its curl lines by bash, its TypeScript by node once the types are taken off."""
import json
import os
import re
import shutil
import subprocess

import portway
import pytest
from hytale import Hytale
from panels import Pterodactyl
from portway import eventually

KEY = "your-secret-api-key"

CURL = {
    "health": r"""
curl http://localhost:8080/health
""",
    "statistics": r"""
curl http://localhost:8080/api/stats
""",
    "counts": r"""
curl http://localhost:8080/api/panel/counts
""",
    "trigger sync": r"""
curl -X POST http://localhost:8080/api/v1/sync/full \
  -H "X-API-Key: your-api-key" \
  -H "Content-Type: application/json" \
  -d '{"skip_users": false}'
""",
    "key in a header": r"""
curl -H "X-API-Key: your-api-key" http://localhost:8080/api/v1/sync/logs
""",
    "key in the query": r"""
curl "http://localhost:8080/api/v1/sync/logs?api_key=your-api-key"
""",
    "bearer token": r"""
curl -H "Authorization: Bearer your-jwt-token" http://localhost:8080/api/admin/settings
""",
}

FLOW = [r"""
curl -X POST http://localhost:8080/api/v1/hytale/oauth/device-code
""", r"""
curl -X POST http://localhost:8080/api/v1/hytale/oauth/token \
  -H "Content-Type: application/json" \
  -d '{"device_code": "DE123456789ABCDEF"}'
""", r"""
curl -X POST http://localhost:8080/api/v1/hytale/oauth/profiles \
  -H "Authorization: Bearer eyJhbGc..."
""", r"""
curl -X POST http://localhost:8080/api/v1/hytale/oauth/game-session/new \
  -H "Authorization: Bearer eyJhbGc..." \
  -H "Content-Type: application/json" \
  -d '{"profile_uuid": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}'
"""]

# requests that are printed as HTTP: method, path, body, which credentials, what is answered
CALLS = [
    ("POST", "/api/v1/sync/full", '{"skip_users": false, "requested_by": "admin@example.com"}', "key", 202),
    ("POST", "/api/v1/sync/locations", None, "key", 202),
    ("GET", "/api/v1/sync/logs?limit=20&offset=0&type=full", None, "key", 200),
    ("POST", "/api/v1/webhook/dispatch", """{
  "event": "sync.completed",
  "data": {
    "syncLogId": "550e8400-e29b-41d4-a716-446655440000",
    "type": "full",
    "status": "COMPLETED",
    "duration": "5m30s"
  }
}""", "key", 202),
    ("GET", "/api/admin/settings", None, "bearer", 200),
    ("POST", "/api/admin/settings", """{
  "pterodactylUrl": "https://panel.example.com",
  "autoSyncEnabled": true,
  "autoSyncInterval": 3600
}""", "bearer", 200),
    ("GET", "/api/admin/settings/webhooks", None, "bearer", 200),
    ("POST", "/api/admin/settings/webhooks", """{
  "name": "Sync Notifications",
  "webhookUrl": "https://discord.com/api/webhooks/123456/abcdef",
  "type": "SYSTEM",
  "scope": "ADMIN"
}""", "bearer", 201),
    ("GET", "/api/admin/settings/repos", None, "bearer", 200),
    ("POST", "/api/admin/settings/repos", '{\n  "repo": "owner/repository"\n}', "bearer", 201),
    ("POST", "/api/admin/settings/repos", '{\n  "repo": "old/repo"\n}', "bearer", 201),
    ("PUT", "/api/admin/settings/repos", '{\n  "oldRepo": "old/repo",\n  "repo": "new/repo"\n}', "bearer", 200),
    ("DELETE", "/api/admin/settings/repos", '{\n  "repo": "owner/repository"\n}', "bearer", 204),
    ("GET", "/api/admin/sync", None, "bearer", 200),
    ("GET", "/api/admin/sync/settings", None, "bearer", 200),
    ("POST", "/api/admin/sync/settings", '{\n  "autoSyncEnabled": true,\n  "autoSyncInterval": 3600\n}', "bearer", 200),
    ("GET", "/api/v1/stats/overview", None, "bearer", 200),
    ("GET", "/api/v1/stats/servers", None, "bearer", 200),
    ("GET", "/api/v1/stats/users", None, "bearer", 200),
    ("GET", "/api/admin/stats", None, "bearer", 200),
]

TYPESCRIPT = r"""
// lib/api.ts
const API_BASE = process.env.NEXT_PUBLIC_API_URL || 'http://localhost:8080';

export async function triggerFullSync(requestedBy: string) {
  const response = await fetch(`${API_BASE}/api/v1/sync/full`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'X-API-Key': process.env.BACKEND_API_KEY!,
    },
    body: JSON.stringify({ requested_by: requestedBy, skip_users: false }),
  });

  if (!response.ok) {
    throw new Error(`Sync failed: ${response.statusText}`);
  }

  return response.json();
}

export async function getSyncStatus(syncLogId: string) {
  const response = await fetch(
    `${API_BASE}/api/v1/sync/status/${syncLogId}?api_key=${process.env.BACKEND_API_KEY}`,
  );

  if (!response.ok) {
    throw new Error(`Failed to get sync status`);
  }

  return response.json();
}
"""


@pytest.fixture(scope="module")
def panel():
    p = Pterodactyl()
    p.fill()
    yield p
    p.close()


@pytest.fixture(scope="module")
def control(panel):
    hytale = Hytale()
    hytale.interval = 1
    fleet = portway.Fleet({**hytale.env(), "BACKEND_API_KEY": KEY, "PTERODACTYL_URL": panel.url, "PTERODACTYL_API_KEY": panel.key})
    fleet.hytale = hytale
    try:
        yield fleet.start(relays=0)
    finally:
        fleet.stop()
        hytale.close()


def bash(control, line, **values):
    line = line.replace("http://localhost:8080", control.controld.base).replace("your-api-key", KEY)
    line = line.replace("your-jwt-token", control.api.session.headers["Authorization"][len("Bearer "):])
    for printed, own in values.get("own", {}).items():
        line = line.replace(printed, own)
    out = subprocess.run(["bash", "-c", line.replace("curl ", "curl -sS --noproxy '*' ", 1)], capture_output=True, text=True, timeout=60,
                         check=True)
    return json.loads(out.stdout)


def idle(control):
    """No sync is under way: another one of the same kind would be the same one."""
    return eventually(lambda: control.controld.count("SELECT count(*) FROM sync_logs WHERE completed_ms = 0") == 0, "the end of syncs",
                      60)


@pytest.mark.parametrize("what", CURL)
def test_curl(control, what):
    said = bash(control, CURL[what])
    if what == "health":
        assert said["status"] == "healthy" and said["timestamp"]
    else:
        assert said["success"] is True, said
    if what in ("statistics", "counts"):
        assert {"totalServers", "totalUsers", "activeUsers", "totalAllocations"} <= set(said["data"])
    if what == "trigger sync":
        assert {"sync_log_id", "task_id", "status"} <= set(said["data"]) and said["data"]["status"] == "PENDING"
    assert KEY not in control.controld.log()
    idle(control)


def test_the_device_flow(control):
    begun = bash(control, FLOW[0])
    assert {"device_code", "user_code", "verification_uri", "expires_in", "interval"} <= set(begun)
    control.hytale.decide(begun["device_code"], "agreed")
    pair = bash(control, FLOW[1], own={"DE123456789ABCDEF": begun["device_code"]})
    assert {"access_token", "refresh_token", "expires_in", "account_id"} <= set(pair)
    own = {"eyJhbGc...": pair["access_token"], "f47ac10b-58cc-4372-a567-0e02b2c3d479": control.hytale.profiles[0]["uuid"]}
    assert bash(control, FLOW[2], own=own)["profiles"] == control.hytale.profiles
    assert bash(control, FLOW[3], own=own)["session_token"] in control.hytale.sessions


def test_calls(control, panel):
    for method, path, body, who, status in CALLS:
        headers = {"X-API-Key": KEY} if who == "key" else {"Authorization": control.api.session.headers["Authorization"]}
        if body:  # an address of nobody is not called
            headers["Content-Type"] = "application/json"
            body = body.replace("https://panel.example.com", panel.url).replace('"scope": "ADMIN"', '"scope": "ADMIN", "enabled": false')
        answer = portway.requests.request(method, control.controld.base + path, data=body, headers=headers, timeout=20)
        assert answer.status_code == status, (method, path, answer.text)
        assert status == 204 or answer.json()["success"] is True
        if "/sync/full" in path or "/sync/locations" in path:
            idle(control)


def strip(typescript):
    """What these two functions have of types, and nothing else."""
    text = re.sub(r"\((\w+): string\)", r"(\1)", typescript)
    return re.sub(r"(process\.env\.\w+)!", r"\1", text)


@pytest.mark.skipif(not shutil.which("node"), reason="no node")
def test_typescript(control, tmp_path):
    idle(control)
    (tmp_path / "api.mjs").write_text(strip(TYPESCRIPT))
    (tmp_path / "main.mjs").write_text("""
import { triggerFullSync, getSyncStatus } from './api.mjs';
const result = await triggerFullSync('admin@example.com');
const status = await getSyncStatus(result.data.sync_log_id);
console.log(JSON.stringify({ result, status }));
""")
    env = {**os.environ, "NEXT_PUBLIC_API_URL": control.controld.base, "BACKEND_API_KEY": KEY}
    out = subprocess.run(["node", str(tmp_path / "main.mjs")], capture_output=True, text=True, timeout=60, env=env, check=False)
    assert out.returncode == 0, out.stderr
    said = json.loads(out.stdout)
    assert said["result"]["success"] and said["status"]["data"]["id"] == said["result"]["data"]["sync_log_id"]
    assert {"id", "type", "status", "itemsTotal", "itemsSynced", "itemsFailed", "error", "startedAt", "completedAt"} <= set(
        said["status"]["data"])
    assert said["status"]["data"]["type"] == "full"
    # and without the key what the program says is an error
    env["BACKEND_API_KEY"] = "wrong"
    out = subprocess.run(["node", str(tmp_path / "main.mjs")], capture_output=True, text=True, timeout=60, env=env, check=False)
    assert out.returncode != 0 and "Sync failed" in out.stderr
    assert KEY not in control.controld.log()
