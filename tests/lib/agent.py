"""An agent as people run it, a client to run it for, and relays that take agents."""
import json
import os
import signal
import subprocess

from portway import BIN, Daemon, Fleet, eventually, free_port


class AgentFleet(Fleet):
    """Relays that take agents, each at an address that stays."""

    def __init__(self, controld_env=None):
        super().__init__(controld_env)
        self.agents_at, self.fingerprint, self.agents = {}, None, []
        self.outside = "127.0.0.1"  # where agents connect

    def add_relay(self, name, env=None, nofile=None, binary=None):
        host = f"[{self.outside}]" if ":" in self.outside else self.outside
        self.agents_at[name] = f"{host}:{free_port(host=self.outside)}"
        relay = super().add_relay(name, {"RELAYD_AGENTS_LISTEN": self.agents_at[name], **(env or {})}, nofile, binary)
        self.fingerprint = relay.env["RELAYD_JOIN_TOKEN"].rsplit(".", 1)[1]
        return relay

    def client(self, **fields):
        return self.api.post("/api/v1/clients", fields, expect=201)

    def agent(self, client, name="agent", wrap=(), binary=None, **settings):
        agent = Agent(os.path.join(self.folder, name), {
            "TOKEN": f"{client['id']}.{client['secret_key']}.{self.fingerprint}",
            "RELAYS": ",".join(self.agents_at.values()), "ALLOW": "localhost", **settings})
        agent.wrap, agent.binary = wrap, binary
        self.agents.append(agent)
        return agent.start()

    def agent_mapping(self, client, target_port, **fields):
        return self.mapping(target_port, target_client_id=client["id"], **fields)

    def stop(self):
        errors = []
        for agent in self.agents:
            try:
                agent.stop()
            except AssertionError as error:
                errors.append(str(error))
        super().stop()
        assert not errors, "\n".join(errors)


class Agent(Daemon):
    """Its allow list is in a file, so that it can be changed; the rest is in the environment."""

    def __init__(self, folder, settings):
        os.makedirs(folder, exist_ok=True)
        env = {"STATE_DIR": os.path.join(folder, "state"), "RUNTIME_DIR": os.path.join(folder, "run"), "PROXY": "off",
               "DRAIN_TIMEOUT": "10s", **settings}
        self.conf = os.path.join(folder, "agent.yaml")
        self.args = ("agent", "--config", self.conf)
        self.allow(env.pop("ALLOW"))
        super().__init__("portway", {f"PORTWAY_AGENT_{key}": value for key, value in env.items()}, folder)

    def allow(self, rules):
        with open(self.conf, "w") as f:
            f.write(f'allow: "{rules}"\n')

    def reload(self):
        before = self.log().count("settings_reloaded")
        self.signal(signal.SIGHUP)
        eventually(lambda: self.log().count("settings_reloaded") > before, "reloaded")

    def ask(self):
        done = subprocess.run([os.path.join(BIN, "portway"), "agent", "status", "--json"], capture_output=True, text=True,
                              timeout=60, env={**os.environ, **self.env})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def links(self):
        return [link for relay in self.ask()["relays"] for link in relay["links"] if link["state"] == "up"]

    def wait_up(self, links, seconds=60):
        return eventually(lambda: len(self.links()) == links, f"{links} links up", seconds)
