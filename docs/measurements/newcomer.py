#!/usr/bin/env python3
"""A newcomer's first minutes, in a terminal and against the clock: new, dev, chat, save, build, deploy.

    python3 docs/measurements/newcomer.py target/debug/bivouac [--warm]

Everything happens in an empty folder with a target directory of its own; --warm does the whole a second time beside the
first, with what cargo has built by then. Prints a table; newcomer.md says what it was on which machine.
"""

import os, pty, re, select, subprocess, sys, tempfile, time
from pathlib import Path

LIMIT_S = 900


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, arguments, folder, env):
        self.started = time.monotonic()
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(arguments[0], arguments, env)

    def until(self, pattern):
        """Reads until the text since the last match has the pattern; gives the seconds since the start or the last typing."""
        deadline = time.monotonic() + LIMIT_S
        while not re.search(pattern, self.text):
            ready, _, _ = select.select([self.fd], [], [], 1)
            if time.monotonic() > deadline:
                sys.exit(f"{pattern!r} did not come; the terminal shows:\n{self.text}")
            if ready:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                if not data:
                    sys.exit(f"it ended before {pattern!r}; the terminal shows:\n{self.text}")
                self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", data.decode(errors="replace"))
        took = time.monotonic() - self.started
        shown, self.text = self.text, ""
        if "--show" in sys.argv:
            print(f"--- {pattern}\n{shown}\n---")
        return took

    def type(self, line):
        self.text, self.started = "", time.monotonic()
        os.write(self.fd, line.encode() + b"\n")

    def end(self):
        os.write(self.fd, b"\x03")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return
            try:
                select.select([self.fd], [], [], 0.1)[0] and os.read(self.fd, 65536)
            except OSError:
                pass
        sys.exit("it did not end with Ctrl-C")


def journey(bivouac, folder, name, env):
    """Does it all once; gives what was done and how long it took."""
    steps = []

    def run(what, *arguments, cwd):
        start = time.monotonic()
        subprocess.run(arguments, cwd=cwd, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        steps.append((what, time.monotonic() - start))

    run("`bivouac new`", bivouac, "new", name, cwd=folder)
    project = folder / name
    dev = Terminal([bivouac, "dev"], project, env)
    steps.append(("`bivouac dev`: the server listens", dev.until(r" on http://")))
    steps.append(("`bivouac dev`: built and deployed", dev.until(r"ok deployed in")))
    chat = Terminal([bivouac, "chat"], project, env)
    steps.append(("`bivouac chat`: its prompt", chat.until(r"you> ")))
    chat.type("A cup of Assam")
    steps.append(("a message, to the question (the agent sleeps 1 s of it)", chat.until(r"Milk, lemon, or nothing\?")))
    chat.type("milk")
    steps.append(("the answer, to the end of the task", chat.until(r"Your tea is ready")))
    source = project / "src/lib.rs"
    dev.text, dev.started = "", time.monotonic()
    source.write_text(source.read_text().replace("Your tea is ready.", "Here is your tea."))
    steps.append(("a save, to `deployed again`", dev.until(r"deployed again in")))
    chat.type("Earl Grey")
    chat.until(r"Milk, lemon, or nothing\?")
    chat.type("lemon")
    steps.append(("... and the next answer is the new one's", chat.until(r"Here is your tea")))
    chat.end()
    run("`cargo test` of the project", "cargo", "test", cwd=project)
    run("`bivouac deploy` (optimised for size)", bivouac, "deploy", "--env", "staging", cwd=project)
    dev.end()
    return steps


def main():
    bivouac = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as root:
        env = {**os.environ, "TERM": "xterm", "BIVOUAC_LISTEN": "127.0.0.1:7499", "BIVOUAC_SERVER": "http://127.0.0.1:7499"}
        env["CARGO_TARGET_DIR"] = f"{root}/target"
        print(f"load before: {os.getloadavg()[0]:.1f}")
        columns = [journey(bivouac, Path(root), "my-agent", env)]
        if "--warm" in sys.argv:
            columns.append(journey(bivouac, Path(root), "my-second", env))
        print(f"load after: {os.getloadavg()[0]:.1f}")
        for rows in zip(*columns):
            print("| " + rows[0][0] + " | " + " | ".join(f"{seconds:.2f} s" for _, seconds in rows) + " |")


main()
