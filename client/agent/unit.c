#include "client/agent/unit.h"

#include "common/base/buf.h"

static const char head[] = "[Unit]\n"
			   "Description=Portway agent\n"
			   "Documentation=man:portway-agent(8)\n"
			   "After=network-online.target\n"
			   "Wants=network-online.target\n"
			   "\n"
			   "[Service]\n"
			   "Type=notify\n";

static const char life[] =
	"ExecReload=/bin/kill -HUP $MAINPID\n"
	"# PORTWAY_AGENT_TOKEN; mode 0600, only systemd reads it.\n"
	"EnvironmentFile=-%E/portway/agent.env\n"
	"UMask=0077\n"
	"Restart=on-failure\n"
	"RestartSec=5\n"
	"# Wrong settings, refused credentials, another agent of the same instance: trying again does not help.\n"
	"RestartPreventExitStatus=2 3 6\n"
	"TimeoutStopSec=45\n"
	"LimitNOFILE=1048576:1048576\n";

/* What needs privileges to set up; a user's systemd has none. */
static const char system_only[] = "DynamicUser=yes\n"
				  "StateDirectory=portway-agent\n"
				  "StateDirectoryMode=0700\n"
				  "RuntimeDirectory=portway-agent\n"
				  "RuntimeDirectoryMode=0700\n"
				  "CapabilityBoundingSet=\n"
				  "\n"
				  "ProtectSystem=strict\n"
				  "ProtectHome=yes\n"
				  "PrivateTmp=yes\n"
				  "PrivateDevices=yes\n"
				  "ProtectKernelTunables=yes\n"
				  "ProtectKernelModules=yes\n"
				  "ProtectKernelLogs=yes\n"
				  "ProtectControlGroups=yes\n"
				  "ProtectClock=yes\n"
				  "ProtectHostname=yes\n"
				  "ProtectProc=invisible\n";

static const char user_only[] = "RuntimeDirectory=portway\n"
				"RuntimeDirectoryMode=0700\n"
				"\n";

static const char sandbox[] = "NoNewPrivileges=yes\n"
			      "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK\n"
			      "RestrictNamespaces=yes\n"
			      "RestrictRealtime=yes\n"
			      "RestrictSUIDSGID=yes\n"
			      "LockPersonality=yes\n"
			      "MemoryDenyWriteExecute=yes\n"
			      "SystemCallArchitectures=native\n"
			      "SystemCallFilter=@system-service\n"
			      "\n"
			      "[Install]\n";

void unit_print(const struct unit *u, struct buf *out)
{
	buf_printf(out, "%sExecStart=%s agent --config %s\n%s%s%sWantedBy=%s\n", head, u->program, u->config, life,
		u->user ? user_only : system_only, sandbox, u->user ? "default.target" : "multi-user.target");
}
