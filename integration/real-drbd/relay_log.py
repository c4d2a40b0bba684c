"""What a relay wrote in its log, and whether that is complete: every transition has its line, none is missing."""
import re

FIELD = re.compile(r', (resource|channel|lane|from|to|why): ')
LINE = re.compile(r'^\S+ \S+ \S+ ([A-Z]{4}) ([^,]*)(.*)$')
# What a healthy relay warns of: that nothing hides its link, and what DRBD has to resync after a loss.
ORDINARY = (r'the link is plain TCP', r"bytes of bsr's are lost with the session")


class RelayLog:
    """The log of one relay, read on from where it was read before."""

    def __init__(self, relay):
        self.relay, self.at = relay, 0
        self.stands = {}    # (channel, lane) → the state it came to last
        self.first = None   # the state before a channel's first transition, once the relay's start was read

    def text(self):
        """All of it; nothing while there is no such file."""
        try:
            with open(self.relay.log, errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def mark(self): return len(self.text())

    def says(self, regex, since=0):
        """Whether a line since then matches."""
        return re.search(regex, self.text()[since:], re.M) is not None

    def faults(self, expected=()):
        """What is wrong with it since the last time, sentences for people: a transition that does not begin where the
        one before it ended, one without a reason, a fault of the relay, a warning that is not expected."""
        # Without the last line, of which perhaps not all is there yet.
        new = self.text()[self.at:]
        new = new[:new.rfind('\n') + 1]
        self.at += len(new)
        found = []
        for line in new.splitlines():
            m = LINE.match(line)
            if not m:
                found.append('not a line of a log: ' + line[:120])
                continue
            level, message, rest = m.groups()
            if message in ('drxd starts', 'adding a connection'):   # there is one connection, or none
                self.stands, self.first = {}, 'allocating'
            elif message == 'transition':
                found += self._transition(rest)
            elif level in ('CRIT', 'ERRO') or level == 'WARN' and not any(
                    re.search(regex, line) for regex in (*ORDINARY, *expected)):
                found.append('%s %s%s' % (level, message, rest[:160]))
        return found

    def _transition(self, rest):
        pieces = FIELD.split(rest)
        said = dict(zip(pieces[1::2], pieces[2::2]))
        missing = [key for key in ('resource', 'channel', 'lane', 'from', 'to', 'why') if not said.get(key, '').strip()]
        if missing:
            return ['a transition without %s:%s' % (', '.join(missing), rest)]
        channel = said['channel'], said['lane']
        stood, self.stands[channel] = self.stands.get(channel, self.first or said['from']), said['to']
        if stood != said['from']:
            return ['%s %s was %s, and goes from %s to %s' % (*channel, stood, said['from'], said['to'])]
        return []

    def differs(self, report):
        """Where the states that drx-ctl reports are not those that the log ends with; for people, empty if nowhere."""
        found = []
        for resource in report['resources']:
            for channel in resource['channels']:
                at = channel['role'], str(channel['lane'])
                if self.stands.get(at, channel['standing']) != channel['standing']:
                    found.append('%s %s is %s, and %s in the log' % (*at, channel['standing'], self.stands[at]))
        return found
