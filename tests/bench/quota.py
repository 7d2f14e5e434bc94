"""A share of a core for each worker of a relay, by the kernel's CPU controller: where there are two cores, load and two
workers cannot have one each."""
import os

import rig as rig_

CONTROLLER = "/sys/fs/cgroup/cpu"  # that of cgroup v1, which takes threads one by one
SHARE = 0.2
PERIOD_US = 10_000


def possible():
    return os.access(CONTROLLER, os.W_OK) and os.path.exists(os.path.join(CONTROLLER, "cpu.shares"))


class Quotas:
    """Groups of the controller, taken away at the end; nothing at all where it is not there."""

    def __init__(self):
        self.groups = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for group in self.groups:
            for thread in rig_.read(os.path.join(group, "tasks")).split():
                self.put(os.path.join(CONTROLLER, "tasks"), thread)
            os.rmdir(group)

    @staticmethod
    def put(path, value):
        try:
            with open(path, "w", encoding="ascii") as f:
                f.write(str(value))
        except ProcessLookupError:
            pass  # the thread has ended

    def limit(self, pid):
        """Each thread of a relay for itself, but the first: that is no worker."""
        for task in os.listdir(f"/proc/{pid}/task") if possible() else ():
            if task == str(pid):
                continue
            group = os.path.join(CONTROLLER, f"portway-bench-{os.getpid()}-{task}")
            os.mkdir(group)
            self.groups.append(group)
            self.put(os.path.join(group, "cpu.cfs_period_us"), PERIOD_US)
            self.put(os.path.join(group, "cpu.cfs_quota_us"), int(PERIOD_US * SHARE))
            self.put(os.path.join(group, "tasks"), task)
