"""What the shells offer after `portway `: real bash, zsh and fish read the printed scripts."""
import os
import subprocess

import pytest
from cli import PROGRAM, Terminal, run
from portway import ROOT

FOLDER = os.path.dirname(PROGRAM)


def bash(*words):
    script = f'''source <({PROGRAM} completion bash)
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _portway; printf '%s\\n' "${{COMPREPLY[@]}}"'''
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def fish(line):
    script = f"source (env {PROGRAM} completion fish | psub); complete -C '{line}'"
    done = subprocess.run(["fish", "-N", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return [row.split("\t")[0] for row in done.stdout.splitlines()]


CASES = [
    ("portway comp", {"completion"}),
    ("portway completion z", {"zsh"}),
    ("portway get map", {"mapping"}),
    ("portway help wh", {"whoami"}),
    ("portway list --wa", {"--watch"}),
    ("portway --json get map", {"mapping"}),
    ("portway --profile x get map", {"mapping"}),
]


@pytest.mark.parametrize("line,wanted", CASES)
def test_bash(line, wanted):
    assert set(bash(*line.split(" "))) == wanted


@pytest.mark.parametrize("line,wanted", CASES)
def test_fish(line, wanted):
    assert set(fish(line)) == wanted


def test_values_of_options():
    assert bash("portway", "list", "-o", "y") == ["yaml"]
    assert bash("portway", "get", "mapping", "") == [], "ids are not guessed"
    assert fish("portway list -o ") == ["json", "name", "table", "yaml"]
    assert "--url" in bash("portway", "--")


def test_install_brings_them(tmp_path):
    subprocess.run([os.path.join(ROOT, "scripts", "install"), FOLDER, str(tmp_path), "/usr"], check=True, capture_output=True)
    for shell, path in (("bash", "bash-completion/completions/portway"), ("zsh", "zsh/site-functions/_portway"),
                        ("fish", "fish/vendor_completions.d/portway.fish")):
        assert (tmp_path / "usr/share" / path).read_text() == run("completion", shell)


def test_zsh(tmp_path):
    (tmp_path / "_portway").write_text(run("completion", "zsh"))
    with Terminal("-f", "-i", size=(40, 160), program=("zsh",), PS1="ready> ", PATH=f"{FOLDER}:/usr/bin:/bin") as t:
        t.expect("ready> ")
        t.type(f"fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -d {tmp_path}/dump; echo do''ne\n")
        t.expect("done.*ready> ")
        t.type("portway whoa\t\x01echo \x05\n")
        t.expect("portway whoami")
        t.expect("ready> ")
        t.type("portway get mapp\t x\x01echo \x05\n")
        t.expect("portway get mapping x")
        t.expect("ready> ")
        t.type("portway list --interv\t x\x01echo \x05\n")
        t.expect("portway list --interval")
        t.expect("ready> ")
        t.type("exit\n")
        t.wait()
