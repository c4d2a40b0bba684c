"""The line between the two relays: cut, frozen, slow, long, or open in one direction only."""
import asyncio, socket, struct, threading


def outside_of(n): return '127.0.0.%d' % (10 + n)
def line_to(n): return '127.0.0.%d' % (20 + n)


PIECE = 1 << 16   # bytes that are carried at a time
FLYING = 256      # pieces on the way at most, in each direction of a connection: 16 MiB


class Line:
    """Carries TCP connections to each relay's outside. Cut: everything is reset, and refused. Frozen: nothing
    moves, and nobody is told. Runs in a thread of its own."""

    def __init__(self, ports):
        self.ends = {n: ((line_to(n), ports.outside(n)), (outside_of(n), ports.outside(n))) for n in (1, 2)}
        self.loop, self.servers, self.writers = asyncio.new_event_loop(), {}, set()
        self.flowing, self.seconds, self.rate = None, 0, 0
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self._do(self._begin())

    def cut(self): self._do(self._cut())
    def freeze(self): self._do(self._let(False))
    def thaw(self): self._do(self._let(True))

    def heal(self, to=(1, 2)):
        """Connections to these relays' outsides pass again."""
        self._do(self._heal(to))

    def delay(self, seconds):
        """From now on whatever goes over it takes so long, either way; connections that stand, too."""
        self.seconds = seconds

    def limit(self, rate):
        """From now on each direction of each connection carries no more than so many bytes a second; 0: any number."""
        self.rate = rate

    def mend(self):
        """As it was at first."""
        self.delay(0)
        self.limit(0)
        self.thaw()
        self.heal()

    def _do(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def _begin(self):
        self.flowing = asyncio.Event()
        self.flowing.set()
        await self._heal((1, 2))

    async def _let(self, flow):
        self.flowing.set() if flow else self.flowing.clear()

    async def _cut(self):
        for server in self.servers.values():
            server.close()
        self.servers = {}
        for writer in self.writers:
            # Reset, not closed in order: a cut line says no goodbye.
            writer.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            writer.transport.abort()
        self.writers = set()

    async def _heal(self, to):
        for n in to:
            if n not in self.servers:
                here, there = self.ends[n]
                self.servers[n] = await asyncio.start_server(
                    lambda reader, writer, there=there: self._connection(reader, writer, there), *here, limit=1 << 20)

    async def _connection(self, reader, writer, there):
        self.writers.add(writer)
        try:
            onward_reader, onward = await asyncio.open_connection(*there, limit=1 << 20)
        except OSError:
            self._close(writer)
            return
        self.writers.add(onward)
        tasks = []
        for come, go in ((reader, onward), (onward_reader, writer)):
            flying = asyncio.Queue(FLYING)
            tasks += [asyncio.ensure_future(self._take(come, flying)), asyncio.ensure_future(self._give(flying, go))]
        try:
            # Who takes has ended when there is nothing more to take; who gives, when all of it has arrived.
            await asyncio.wait([tasks[1], tasks[3]], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self._close(writer)
            self._close(onward)

    def _close(self, writer):
        self.writers.discard(writer)
        writer.close()

    async def _take(self, reader, flying):
        """Reads pieces, and says when each is to arrive; an empty one is the end."""
        piece = True
        while piece:
            try:
                piece = await reader.read(PIECE if not self.rate else min(PIECE, max(512, self.rate // 50)))
            except OSError:
                piece = b''
            await flying.put((self.loop.time() + self.seconds, piece))
            if self.rate:
                await asyncio.sleep(len(piece) / self.rate)

    async def _give(self, flying, writer):
        try:
            while True:
                due, piece = await flying.get()
                early = due - self.loop.time()
                if early > 0:
                    await asyncio.sleep(early)
                await self.flowing.wait()
                if not piece:
                    return
                writer.write(piece)
                await writer.drain()
        except OSError:
            return
