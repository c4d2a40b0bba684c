"""An operator's resource file and an operator's tools: DRX in the place of the proxy that they were written for.

Both hosts and both guests have one resource file, that of bsr-wire A.8. The guests' drbdadm does there what it does
anywhere; where it would call the proxy's control program, that is called on the host."""
import base64, os, re, socketserver, subprocess, threading, time

from guests import LOCALHOST, LabError
from nodes import Kernel
from relayed import LOST, Relayed
from relays import Drxd

NAMES = {1: 'r0-node2-node1', 2: 'r0-node1-node2'}
PROXY = 'memlimit 128M; plugin { zstd level 4; }'
OTHER_PLUGIN = 'memlimit 128M; plugin { lz4; }'
OTHER_LIMIT = 'memlimit 200M; plugin { lz4; }'

# In a guest, under the control program's name: its arguments to the host, what it answered back, and its status.
SHIM = '''#!/bin/busybox sh
for word in "$@"; do echo "$word" | base64 | tr -d '\\n'; echo; done | {
  cat; echo .
} | nc 10.0.2.2 %d >/run/proxy-ctl.$$
tail -n 1 /run/proxy-ctl.$$ | { read status; sed '$d' /run/proxy-ctl.$$; rm /run/proxy-ctl.$$; exit $status; }
'''


def resource_file(protocol, proxy, net=''):
    """A stock r0.res with a proxy section, and what drbd.conf has besides."""
    return '''global { usage-count no; }
resource r0 {
  device /dev/drbd0;
  disk /dev/vda;
  meta-disk internal;
  net { protocol %s; ping-int 3; connect-int 3; %s }
  proxy { %s }
  on node1 {
    address 10.77.1.2:7789;
    proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; }
  }
  on node2 {
    address 10.77.2.2:7789;
    proxy on node2 { inside 10.77.2.1:7788; outside 10.77.9.2:7780; }
  }
}
''' % (protocol, net, proxy)


class ProxiedKernel(Kernel):
    """A guest with that resource file."""
    proxy = PROXY

    def write_configuration(self):
        self.guest.sh('cat >/etc/drbd.conf', stdin=resource_file(self.protocol, self.proxy).encode())


class HostedDrxd(Drxd):
    """A relay on a host, with that resource file or with nothing."""

    def __init__(self, host, ports, binaries, directory):
        self.host, self.resources, self.protocol = host, '', 'A'
        super().__init__(host.n, ports, binaries, directory)
        self.prefix, self.socket = host.prefix, os.path.join(directory, 'drx.sock')

    def configure(self, more=''):
        with open(os.path.join(self.directory, 'r0.res'), 'w') as f:
            f.write(resource_file(self.protocol, PROXY))
        with open(os.path.join(self.directory, 'drx.toml'), 'w') as f:
            f.write('%s[node]\nname = "node%d"\n[control]\nsocket = "drx.sock"\n[log]\nlevel = "debug"\n%s'
                    % (self.resources, self.n, more))

    def drbdadm(self, *words):
        """The host's own drbdadm, where this host's drbd-proxy-ctl is in the PATH."""
        return self.host.run(['drbdadm', '-c', os.path.join(self.directory, 'r0.res'), *words], env=self.environment())

    def environment(self):
        return {**os.environ, 'PATH': self.binaries + ':' + os.environ['PATH'], 'DRX_CONTROL__SOCKET': self.socket,
                'LC_ALL': 'C'}

    def proxy_ctl(self, *words):
        return subprocess.run([os.path.join(self.binaries, 'drbd-proxy-ctl'), *words], env=self.environment(),
                              capture_output=True, text=True, timeout=20)

    def settings(self):
        """What `show proxy-settings` says, its words."""
        shown = self.proxy_ctl('-c', 'show proxy-settings ' + NAMES[self.n])
        if shown.returncode:
            raise LabError('%s: show proxy-settings: %s' % (self.name, shown.stderr))
        return shown.stdout.split()


class Shim:
    """Runs the control program on the host for a guest's drbdadm, and remembers what it was asked."""

    def __init__(self, guest, relay):
        self.asked, asked = [], lambda words: self.asked.append(words)

        class Handler(socketserver.StreamRequestHandler):
            timeout = 20

            def handle(self):
                words = []
                while (line := self.rfile.readline().strip()) not in (b'.', b''):
                    words.append(base64.b64decode(line).decode().rstrip('\n'))
                asked(words)
                done = relay.proxy_ctl(*words)
                self.wfile.write(('%s%s\n%d\n' % (done.stdout, done.stderr, done.returncode)).encode())

        self.server = socketserver.ThreadingTCPServer((LOCALHOST, 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        guest.sh('cat >/sbin/drbd-proxy-ctl; chmod 755 /sbin/drbd-proxy-ctl',
                 stdin=(SHIM % self.server.server_address[1]).encode())


class Cable:
    """Nothing to be mended on it."""
    def mend(self): pass


class Proxied(Relayed):
    """The same two guests, with relays that are on two hosts."""

    def __init__(self, guests, hosts, options, directory, ports, report, protocol):
        relays = [HostedDrxd(host, ports, options.bin, os.path.join(directory, 'host%d-%s' % (host.n, protocol)))
                  for host in hosts]
        super().__init__(guests, relays, Cable(), report, protocol,
                         [ProxiedKernel(guest, None, guest.name) for guest in guests])
        self.shims = [Shim(guest, relay) for guest, relay in zip(guests, relays)]

    def start_with(self, resources, then=lambda relay: None):
        """New disks, and relays with this in their configuration and with `then` done to them."""
        for relay in self.relays:
            relay.resources, relay.protocol = resources, self.protocol
            relay.revive()
            then(relay)
        for node in self.nodes:
            node.proxy = PROXY
        self.each(self._reboot)
        self.fresh()

    def works(self, what):
        """Two established channels, and what is written is on both."""
        with self.report.timed('   %s: connected' % what) as t:
            t.note = self.both('cs:Connected .*ds:UpToDate/UpToDate', 60)
        self.established()
        for node in self.nodes:
            with self.primary(node):
                self.write(node, 6)
        self.same('after writes, ' + what)


def from_resource_file(pair):
    """drxd has nothing but resources = ["r0.res"]: two established channels between the kernels"""
    pair.expect_of_relays(r'configuration: r0\.res:\d+:\d+: ')   # advice, for a deep BAB
    pair.start_with('resources = ["r0.res"]\n')
    pair.works('from the resource file')


def proxy_up(pair):
    """Empty configuration, and the real drbdadm: proxy-up, adjust with other proxy options, proxy-down"""
    pair.expect(*LOST)
    pair.expect_of_relays('the configuration names no resources', 'kept, but not in force: .* option: plugin 0')

    def up(relay):
        rows = relay.connections()
        pair.report.check(not any(row.startswith('r0') for row in rows), '%s has no connection' % relay.name,
                          '; '.join(rows))
        relay.drbdadm('proxy-up', 'r0')
        relay.drbdadm('proxy-up', 'r0')   # changes nothing
    pair.start_with('', up)
    pair.works('after drbdadm proxy-up')
    for relay in pair.relays:
        shown = relay.settings()
        pair.report.check(shown[0] == 'proxy' and '128M;' in shown and re.search(r'zstd level 4;', ' '.join(shown)),
                          '%s: show proxy-settings' % relay.name, ' '.join(shown))
    adjusted(pair)
    relay, other = pair.relays
    relay.drbdadm('proxy-down', 'r0')
    with pair.report.timed('   after drbdadm proxy-down on %s: both notice' % relay.name) as t:
        t.note = pair.both('cs:(Unconnected|Timeout|BrokenPipe|NetworkFailure|TearDown|WFConnection)', 30)
    rows = relay.connections()
    pair.report.check(not any(row.startswith('r0') for row in rows), 'the connection is gone', '; '.join(rows))
    relay.drbdadm('proxy-down', 'r0')   # harmless
    relay.drbdadm('proxy-up', 'r0')
    pair.works('after proxy-up again')


def adjusted(pair):
    """The guests' drbdadm, which has a kernel to compare with, is told of another plugin or another memlimit: the
    relays have it then. This drbdadm takes a connection away and adds it again to change its memlimit."""
    for what, proxy, words in (('nothing', PROXY, ('128M;', 'zstd level 4;')),
                               ('the plugin', OTHER_PLUGIN, ('128M;', 'lz4;')),
                               ('memlimit', OTHER_LIMIT, ('200M;', 'lz4;'))):
        marks = {node: node.mark() for node in pair.nodes}
        for node, relay, shim in zip(pair.nodes, pair.relays, pair.shims):
            shim.asked.clear()
            node.proxy = proxy
            node.write_configuration()
            node.admin('adjust r0')
            asked = '; '.join(' '.join(words) for words in shim.asked)
            pair.report.check('show proxy-settings' in asked, '%s: adjust asks the relay' % node.name)
            if what == 'nothing':
                pair.report.check(not re.search(r'\b(add|del|set) ', asked), '%s: adjust changes nothing' % node.name,
                                  asked)
            shown = ' '.join(relay.settings())
            pair.report.check(all(word in shown for word in words),
                              '%s: adjust after %s changed: %s has it' % (node.name, what, relay.name), shown)
            pair.report.say('   ' + asked)
        if not any('del connection' in ' '.join(words) for shim in pair.shims for words in shim.asked):
            pair.unnoticed(marks)
        pair.works('after adjust')
    for relay in pair.relays:
        sizes = {channel['bab']['size'] for channel in relay.channels() if channel['channel_type'] == 'data'}
        pair.report.check(sizes == {200 << 20}, '%s: the BAB has 200 MiB' % relay.name, str(sizes))


ALL = [from_resource_file, proxy_up]
