"""What a run prints: each step with its time, each check with its outcome, and how many passed."""
import time


class Report:
    """What is printed, and what was checked."""

    def __init__(self): self.passed, self.failed, self.begin = 0, [], time.monotonic()

    def say(self, what, seconds=None, note=''):
        took = '' if seconds is None else '%.2f s' % seconds
        print('%7.2f  %-58s %8s  %s' % (time.monotonic() - self.begin, what, took, note), flush=True)

    def check(self, ok, what, note=''):
        self.say(('ok: ' if ok else 'FAILED: ') + what, None, note)
        if ok:
            self.passed += 1
        else:
            self.failed.append(what)

    def timed(self, what): return Timed(self, what)

    def end(self):
        """The last line."""
        print('%d passed, %d failed in %.0f s%s' % (self.passed, len(self.failed), time.monotonic() - self.begin,
                                                    ': ' + '; '.join(self.failed) if self.failed else ''), flush=True)


class Timed:
    """Prints how long its block took, unless that failed."""

    def __init__(self, report, what): self.report, self.what, self.note = report, what, ''

    def __enter__(self):
        self.begin = time.monotonic()
        return self

    def __exit__(self, kind, *_):
        if not kind:
            self.report.say(self.what, time.monotonic() - self.begin, self.note)
