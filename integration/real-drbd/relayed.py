"""Two guests whose DRBD replicates through two drxd: what is done with them, and what must hold after each scenario."""
import contextlib, os, re, subprocess, time

from guests import LabError
from nodes import Kernel
from pair import BLOCK, ORDINARY, SURPRISE, UP, Pair
from relay_log import RelayLog

MIB = 1 << 20
DISK = 32 * MIB
# What DRBD warns of when its connection goes without a word.
LOST = (r'connection shut down by peer', r'error receiving', r'PingAck did not arrive in time', r'sock was shut down',
        r'sock_recvmsg returned', r'sock_sendmsg', r'short read', r'short sent', r'_drbd_send_\w+: ')
# What it warns of while it connects. A relay lets a node in and dials the other one: some dials come to nothing.
CONNECTING = (r'sock was shut down by peer', r'short read \(expected size (8|16)\)')
PARTED = 'Unconnected|Timeout|BrokenPipe|NetworkFailure|ProtocolError|TearDown|WFConnection|Disconnecting|StandAlone'
# BSR's own values, where nothing else is said; but connect-int, which is its 3 s in one scenario, and saves time in
# the others.
NET = {'ping-int': 3, 'connect-int': 1}


class Relayed(Pair):
    """Both nodes are kernels. Each scenario begins and ends with both connected, up to date and secondary, through
    relays with their usual configuration and a line that is as it was at first."""

    def __init__(self, guests, relays, line, report, protocol, kernels=None):
        self.reach = {guest: relay.ports.inside(guest.n) for guest, relay in zip(guests, relays)}
        kernels = kernels or [Kernel(guest, self.reach[guest], guest.name) for guest in guests]
        super().__init__(*kernels, report, protocol, 'relayed ' + protocol)
        self.relays, self.line = relays, line
        self.logs = [RelayLog(relay) for relay in relays]
        self.dead, self.expected_of_relays, self.marks = {}, [], {}
        # A relay ends both connections of a session at once.
        self.ordinary = ORDINARY + (r'meta connection shut down by peer',)

    # --- from nothing, or from whatever a failed scenario left

    def restore(self):
        """The line, the relays and the guests as at first, with new disks that are the same."""
        self.line.mend()
        for relay in self.relays:
            relay.revive()
        for node in self.nodes:
            with contextlib.suppress(LabError, OSError):
                node.thaw()
        self.each(self._reboot)
        self.fresh()

    def _reboot(self, node):
        """Switched off and on, unless DRBD can be brought down in order."""
        try:
            if node.guest.process.alive():
                node.guest.run('/sbin/tc qdisc del dev $(cat /run/drbd-interface) root', 10)   # fails if there is none
                node.down()
                return
        except (LabError, OSError):
            node.guest.process.kill()
        node.guest.start()
        node.guest.boot()

    def fresh(self, size=DISK, disk_options=''):
        """Both with new empty disks of this size, known to be the same: nothing is to be synced."""
        self.each(lambda node: node.down())
        for node in self.nodes:
            node.disk_options, node.reach = disk_options, self.reach[node.guest]
            node.configure(self.protocol, **NET)
        self.each(lambda node: self._empty(node, size))
        self.both('cs:Connected .*ds:Inconsistent/Inconsistent', 60)
        self.kernel.guest.sh('drbdadm new-current-uuid --clear-bitmap r0')
        self.up()
        self.size = self.kernel.size()
        self.image = bytearray(self.size)
        self.newest, self.unsettled = set(), set()

    def _empty(self, node, size):
        # What somebody wrote to a device that was gone is a file.
        node.guest.sh('[ -b /dev/drbd0 ] || rm -f /dev/drbd0')
        os.truncate(node.disk, 0)
        node.guest.resize(size)
        node.create(b'')
        node.up()

    def options(self, **net):
        """Other options of the net section from now on, live: the connection stays."""
        for node in self.nodes:
            node.configure(self.protocol, **{**NET, **net})
        self.each(lambda node: node.admin('adjust r0'))

    def end(self):
        """Nothing runs any more but the guests."""
        self.each(self._reboot)
        for relay in self.relays:
            if relay.process:
                relay.process.kill()

    def back(self, what, within=60):
        """Connected and up to date; says how long that took."""
        with self.report.timed('   %s: connected, up to date' % what) as t:
            t.note = self.both(UP, within)

    # --- what the relays say

    def established(self, timeout=15):
        """Both relays show one session, sooner or later."""
        end = time.monotonic() + timeout
        while not all(relay.established() for relay in self.relays):
            if time.monotonic() > end:
                for relay in self.relays:
                    self.report.say('%s: %s' % (relay.name, ' | '.join(relay.connections())))
                return self.report.check(False, 'drx-ctl shows two established connections on both relays')
            time.sleep(0.05)

    def count(self, counter): return [relay.count(counter) for relay in self.relays]

    def resumed(self, before):
        """How many links each relay has resumed since the counts were these, or the one that has resumed fewer."""
        return min(now - then for now, then in zip(self.count('resumes'), before))

    def told(self, relay, what, *regexes):
        """The relay's log tells of it since the scenario began: a line for each of these."""
        log, end = self.logs[self.relays.index(relay)], time.monotonic() + 2   # it is written a little later
        while missing := [regex for regex in regexes if not log.says(regex, self.marks[log])]:
            if time.monotonic() > end:
                break
            time.sleep(0.05)
        self.report.check(not missing, '%s: its log tells %s' % (relay.name, what), '; '.join(missing))

    def expect_of_relays(self, *regexes):
        """Warnings of relays that are no surprise in the present scenario."""
        self.expected_of_relays += regexes

    def configure_relays(self, more=''):
        """Both relays end in order and are started again, with this at the end of their configuration."""
        self.expect(*LOST)
        for relay in self.relays:
            status = relay.terminate(70)
            self.report.check(status == 0, '%s: exit status 0' % relay.name, str(status))
            self.told(relay, 'that it stopped', 'stopping: .*, why: .+', 'drxd has stopped')
        for relay in self.relays:
            relay.configure(more)
            relay.start()
        self.up(60)
        self.established()

    # --- what the kernels say

    def resynced_some(self, mark, least, most):
        """Since then node1 has resynced no fewer blocks than `least`, and no more than `most`: what changed, not
        everything. What was under way when the nodes parted is in `most` alone."""
        said = self.kernel.said(r'Began resync as SyncSource \(will sync (\d+) KB', mark)
        kib, per_block = sum(map(int, said)), BLOCK >> 10
        self.report.check(len(least) * per_block <= kib <= len(most) * per_block, 'resynced what changed, by bitmap',
                          '%s KiB, %d to %d expected, of %d' % (' + '.join(said) or 0, len(least) * per_block,
                                                                len(most) * per_block, self.size >> 10))

    def unnoticed(self, marks):
        """Since then neither kernel has lost its connection."""
        for node, mark in marks.items():
            said = node.said(r'conn\( Connected -> [^)]*\)', mark)
            self.report.check(not said, '%s: the kernel noticed nothing' % node.name, '; '.join(said))

    def unparted(self, marks):
        """Since then neither kernel's connection has ended: it went Ahead or Behind, and came back, at most."""
        for node, mark in marks.items():
            said = node.said(r'conn\( \w+ -> (?:%s)[^)]*\)' % PARTED, mark)
            self.report.check(not said, '%s: its connection stood' % node.name, '; '.join(said))

    def kill(self, node):
        """Its power fails. What its kernel said until then is looked at now: it is gone with the next boot."""
        said = node.log()[self.marks[node]:]
        strange = [line for line in said.splitlines() if 'drbd' in line and SURPRISE.search(line) and
                   not any(re.search(regex, line) for regex in (*self.ordinary, *self.expected))]
        self.report.check(not strange, '%s: its kernel had seen nothing strange' % node.name, '; '.join(strange[:3]))
        node.kill()

    def wrong_on(self, node):
        surprises = self.surprises_of(node)
        self.report.check(not surprises, '%s: the kernel saw nothing strange' % node.name, '; '.join(surprises[:4]))

    # --- a scenario

    def begin(self):
        """Forgets what came before."""
        for node in self.nodes:
            node.guest.sh('dmesg -c >/dev/null')
            self.marks[node] = node.mark()
        for log in self.logs:
            log.faults()
            self.marks[log] = log.mark()
        self.expected, self.expected_of_relays = list(CONNECTING), []

    def verdict(self):
        """What must hold after every scenario."""
        self.up(60)
        self.established()
        self.each(lambda node: node.wait('ro:Secondary/Secondary', 20))
        self.same('with what was written')
        for node in self.nodes:
            self.wrong_on(node)
        for relay, log in zip(self.relays, self.logs):
            self.report.check(relay.process.alive(), '%s lives' % relay.name)
            faults = log.faults(self.expected_of_relays)
            end = time.monotonic() + 2   # it is written a little later
            while (differs := log.differs(relay.report())) and time.monotonic() < end:
                time.sleep(0.05)
                faults += log.faults(self.expected_of_relays)
            faults += differs
            self.report.check(not faults, '%s: its log is complete, and without a fault' % relay.name,
                              '; '.join(faults[:4]))

    def leave(self, directory):
        """A copy of disks and logs, for who looks into what failed."""
        os.makedirs(directory)
        for it in (*self.nodes, *self.relays):
            target = os.path.join(directory, it.name.replace(' ', ''))
            source = it.guest.directory if isinstance(it, Kernel) else it.directory
            os.makedirs(target)
            for name in os.listdir(source):
                if name.endswith(('.img', '.log', '.toml', '.res', '.conf')):
                    subprocess.run(['cp', '--sparse=always', os.path.join(source, name), target], timeout=60)
