"""Two drxd, one beside each guest."""
import json, os, signal, subprocess, time

from guests import LOCALHOST, LabError, Process
from line import line_to, outside_of


class Drxd:
    """Relay n, beside guest n; it dials the other one through the line."""

    def __init__(self, n, ports, binaries, directory):
        self.n, self.binaries, self.directory = n, binaries, directory
        self.name, self.log, self.process = 'relay %d' % n, os.path.join(directory, 'drxd.log'), None
        os.makedirs(directory)
        self.ports, self.prefix = ports, []   # what is said before the program's name
        self.configure()

    def configure(self, more=''):
        """Writes its configuration, with `more` at the end."""
        n, ports, directory = self.n, self.ports, self.directory
        with open(os.path.join(directory, 'drx.toml'), 'w') as f:
            f.write('''[node]
name = "node%d"

[[resource]]
name    = "r0"
remote  = "node%d"
bsr     = "%s:%d"
inside  = "%s:%d"
outside = "%s:%d"
peer    = "%s:%d"

[control]
socket = "%s"

[log]
level = "debug"
''' % (n, 3 - n, LOCALHOST, ports.drbd(n), LOCALHOST, ports.inside(n), outside_of(n), ports.outside(n),
                line_to(3 - n), ports.outside(3 - n), os.path.join(directory, 'drx.sock')) + more)

    def start(self):
        """Starts it and waits until it answers; the seconds that took."""
        begin = time.monotonic()
        self.process = Process([*self.prefix, os.path.join(self.binaries, 'drxd'), '--config', 'drx.toml'],
                               self.directory, self.log)
        while self.ctl('status').returncode:
            if not self.process.alive() or time.monotonic() - begin > 20:
                raise LabError('%s did not start, see %s' % (self.name, self.log))
            time.sleep(0.02)
        return time.monotonic() - begin

    def ctl(self, *words):
        """What drx-ctl says, and its exit status."""
        socket = os.path.join(self.directory, 'drx.sock')
        return subprocess.run([os.path.join(self.binaries, 'drx-ctl'), '--socket', socket, *words],
                              capture_output=True, text=True, timeout=20)

    def order(self, *words):
        """What drx-ctl says; an error when its status is not 0."""
        done = self.ctl(*words)
        if done.returncode:
            raise LabError('%s: drx-ctl %s: status %d: %s' % (self.name, ' '.join(words), done.returncode,
                                                              done.stderr.strip()))
        return done.stdout

    def connections(self):
        """The rows of `drx-ctl connections`, without their head."""
        return [line for line in self.ctl('connections', 'all').stdout.splitlines() if line.startswith(('r0', ' All'))]

    def report(self):
        """What `drx-ctl --json status` says."""
        answer = self.ctl('--json', 'status')
        if answer.returncode:
            raise LabError('%s: drx-ctl status: %s' % (self.name, answer.stderr.strip()))
        return json.loads(answer.stdout)

    def channels(self): return [channel for resource in self.report()['resources'] for channel in resource['channels']]

    def count(self, counter):
        """One of its channels' counters, over all channels."""
        return sum(channel[counter] for channel in self.channels())

    def established(self): return ' Established : 2' in '\n'.join(self.connections())

    def revive(self):
        """Running, with its usual configuration, whatever was before."""
        if self.process and self.process.alive():
            self.thaw()
            self.process.kill()
        self.configure()
        self.start()

    def kill(self):
        """As a crash does."""
        self.process.kill()

    def freeze(self): self.process.send(signal.SIGSTOP)
    def thaw(self): self.process.send(signal.SIGCONT)

    def terminate(self, timeout):
        """As an orderly stop does; its exit status."""
        self.process.send(signal.SIGTERM)
        return self.process.ended(timeout)

    def panics(self):
        """The lines of its log that tell of a fault in it."""
        with open(self.log, errors='replace') as f:
            return [line.rstrip() for line in f if ' CRIT' in line or 'panic' in line]
