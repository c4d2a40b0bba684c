"""Two drxd and the line between them, which can be cut and frozen."""
import asyncio, json, os, signal, socket, struct, subprocess, threading, time

from guests import LOCALHOST, LabError, Process


def outside_of(n): return '127.0.0.%d' % (10 + n)
def line_to(n): return '127.0.0.%d' % (20 + n)


class Drxd:
    """Relay n, beside guest n; it dials the other one through the line."""

    def __init__(self, n, ports, binaries, directory):
        self.n, self.binaries, self.directory = n, binaries, directory
        self.name, self.log, self.process = 'relay %d' % n, os.path.join(directory, 'drxd.log'), None
        os.makedirs(directory)
        self.ports = ports
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
        self.process = Process([os.path.join(self.binaries, 'drxd'), '--config', 'drx.toml'], self.directory, self.log)
        while self.ctl('version').returncode:
            if not self.process.alive() or time.monotonic() - begin > 20:
                raise LabError('%s did not start, see %s' % (self.name, self.log))
            time.sleep(0.02)
        return time.monotonic() - begin

    def ctl(self, *words):
        """What drx-ctl says, and its exit status."""
        return subprocess.run([os.path.join(self.binaries, 'drx-ctl'), '--socket', os.path.join(self.directory, 'drx.sock'),
                               *words], capture_output=True, text=True, timeout=20)

    def connections(self):
        """The rows of `drx-ctl connections`, without their head."""
        return [line for line in self.ctl('connections', 'all').stdout.splitlines() if line.startswith(('r0', ' All'))]

    def count(self, counter):
        """One of its channels' counters, over all channels."""
        report = json.loads(self.ctl('--json', 'status').stdout)
        return sum(channel[counter] for resource in report['resources'] for channel in resource['channels'])

    def established(self): return ' Established : 2' in '\n'.join(self.connections())

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


class Line:
    """Carries TCP connections to each relay's outside. Cut: everything is reset, and refused. Frozen: nothing
    moves, and nobody is told. Runs in a thread of its own."""

    def __init__(self, ports):
        self.ends = [((line_to(n), ports.outside(n)), (outside_of(n), ports.outside(n))) for n in (1, 2)]
        self.loop, self.servers, self.writers = asyncio.new_event_loop(), [], set()
        self.flowing = None
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self._do(self._begin())

    def cut(self): self._do(self._cut())
    def heal(self): self._do(self._heal())
    def freeze(self): self._do(self._let(False))
    def thaw(self): self._do(self._let(True))

    def _do(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def _begin(self):
        self.flowing = asyncio.Event()
        self.flowing.set()
        await self._heal()

    async def _let(self, flow):
        self.flowing.set() if flow else self.flowing.clear()

    async def _cut(self):
        for server in self.servers:
            server.close()
        self.servers = []
        for writer in self.writers:
            # Reset, not closed in order: a cut line says no goodbye.
            writer.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            writer.transport.abort()
        self.writers = set()

    async def _heal(self):
        for here, there in self.ends:
            self.servers.append(await asyncio.start_server(
                lambda reader, writer, there=there: self._connection(reader, writer, there), *here, limit=1 << 20))

    async def _connection(self, reader, writer, there):
        self.writers.add(writer)
        try:
            onward_reader, onward = await asyncio.open_connection(*there, limit=1 << 20)
        except OSError:
            self._close(writer)
            return
        self.writers.add(onward)
        try:
            ways = [asyncio.ensure_future(self._carry(*way)) for way in ((reader, onward), (onward_reader, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        finally:
            self._close(writer)
            self._close(onward)

    def _close(self, writer):
        self.writers.discard(writer)
        writer.close()

    async def _carry(self, reader, writer):
        try:
            while True:
                piece = await reader.read(1 << 16)
                await self.flowing.wait()
                if not piece:
                    return
                writer.write(piece)
                await writer.drain()
        except OSError:
            return
