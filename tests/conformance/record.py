#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records what CPython's asyncio does with a conformance scenario.

    python3.13 record.py cases/gather/*.json      writes cases/gather/*.trace
    python3.13 record.py --print some.json        prints the trace instead

The traces under cases/ are asyncio's own answers, never muster's. This program is how a new case gets its answer: it
runs a scenario (the language is described in README.md) on the real asyncio of the interpreter that executes it, which
has to be CPython 3.13 or later, with a clock that jumps from one timer to the next. Nothing here knows muster, and
nothing in muster knows this file.

Each op of the language is one function below, registered under its name by `@op`. An op gets the run, the scope it
stands in and its own arguments; it returns None to go on with the next statement, or a Leave to end the coroutine.
"""
import argparse
import asyncio
import dataclasses
import functools
import gc
import json
import pathlib
import sys
import typing
import warnings

# ---------------------------------------------------------------------------------------------------- exceptions


class TransactionError(Exception):
    """The one exception type of the language that Python does not have."""


class Deadlock(BaseException):
    """Nothing is ready and no timer is left: the scenario can't go on."""


class Fault(SystemExit):
    """The scenario itself is wrong. A SystemExit, so that asyncio lets it out of the task it was raised in."""


EXCEPTIONS = {
    kind.__name__: kind
    for kind in (
        BaseException, Exception, BaseExceptionGroup, ExceptionGroup,
        ValueError, TypeError, LookupError, KeyError, OSError, ConnectionError, TimeoutError, RuntimeError,
        TransactionError, asyncio.CancelledError, asyncio.InvalidStateError,
        asyncio.QueueEmpty, asyncio.QueueFull, asyncio.BrokenBarrierError,
    )
}
EXCEPTIONS["*"] = Exception


def kinds(names):
    return tuple(EXCEPTIONS[name] for name in names)


def build(kind, *rest):
    """The exception that ["ValueError", "text"] or ["ExceptionGroup", "text", [...]] stands for."""
    if issubclass(EXCEPTIONS[kind], BaseExceptionGroup):
        text, members = rest
        return EXCEPTIONS[kind](text, [build(*member) for member in members])
    text = rest[0] if rest else ""
    return EXCEPTIONS[kind](text) if text != "" else EXCEPTIONS[kind]()


def shown(value):
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case str():
            return f"'{value}'"
        case list() | tuple():
            return f"[{', '.join(map(shown, value))}]"
        case BaseExceptionGroup():
            return f"{type(value).__name__}('{value.message}', {shown(value.exceptions)})"
        case BaseException():
            text = value.args[0] if value.args else None
            return f"{type(value).__name__}({'' if text in (None, '') else shown(str(text))})"
    return str(value)


# ------------------------------------------------------------------------------------------------------ the clock


class JumpingLoop(asyncio.BaseEventLoop):
    """asyncio's loop without any input or output: waiting for a timer sets the clock forward, and that is all.

    One unit of the loop's time is one millisecond of the scenario. The loop is its own selector.
    """

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self._selector = self
        self._clock_resolution = 1e-6

    def time(self):
        return self.now

    def select(self, timeout):
        if timeout is None:
            raise Deadlock
        self.now += max(timeout, 0)
        return ()

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass


# -------------------------------------------------------------------------------------------------- the interpreter


@dataclasses.dataclass(frozen=True)
class Scope:
    """What a statement can refer to without a name: the group and the timeouts around it, the exception in hand."""

    group: typing.Any = None
    caught: BaseException | None = None
    timeouts: tuple = ()


@dataclasses.dataclass(frozen=True)
class Leave:
    """The coroutine ends here, with this value. Not an exception: it has to pass a TaskGroup without aborting it."""

    value: typing.Any = None


BARE_RAISE = Leave(object())  # ends a try_star handler by the statement `raise`
OPS = {}


def op(name):
    def register(function):
        OPS[name] = function
        return function
    return register


class Run:
    """One scenario, its variables and its trace."""

    def __init__(self, scenario):
        self.bodies = scenario["coroutines"]
        self.vars = {}
        self.watchers = {}
        self.events = []
        self.accounts = []
        self.unforeseen = []
        self.loop = JumpingLoop()
        self.loop.set_exception_handler(self.on_report)

    # -- trace

    def note(self, text, task=None):
        self.events.append((round(self.loop.now), task or self.current_name(), text))

    @staticmethod
    def current_name():
        task = asyncio.current_task()
        return task.get_name() if task else "-"

    def on_report(self, loop, context):
        error, culprit = context.get("exception"), context.get("future") or context.get("task")
        if context["message"].endswith("never retrieved"):
            name = culprit.get_name() if isinstance(culprit, asyncio.Task) else "-"
            self.accounts.append(f"! never-retrieved {name} {shown(error)}")
        else:
            self.unforeseen.append(f"asyncio reports what a trace has no line for: {context['message']} {shown(error)}")

    # -- pieces that several ops use

    def coroutine(self, name):
        async def body():
            left = await self.block(self.bodies[name], Scope())
            return left.value if left else None

        made = body()
        made.__name__ = made.__qualname__ = name  # Python names it in 'was never awaited'
        return made

    def spawn(self, task, body):
        return self.loop.create_task(self.coroutine(body), name=task)

    def awaitable(self, source, task):
        return self.vars[source[1:]] if source.startswith("@") else self.spawn(task, source)

    def awaitables(self, sources, label):
        return [self.awaitable(source, f"{label}.{index}") for index, source in enumerate(sources)]

    def condition_of(self, name):
        future = self.vars[name]
        if not future.done():
            return "pending"
        if future.cancelled():
            return "cancelled"
        if (error := future.exception()) is not None:
            return f"exception {shown(error)}"
        return f"result {shown(future.result())}"

    async def block(self, statements, scope):
        for name, *arguments in statements:
            function = OPS.get(name)
            if function is None:
                raise Fault(f"unknown op {name!r}")
            if left := await function(self, scope, *arguments):
                return left
        return None

    # -- the run

    def trace(self):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                unfinished = self.play()
                self.vars.clear()
                gc.collect()  # what nobody holds any more is reported now
            except Deadlock:
                return "deadlock\n"
            finally:
                self.loop.close()
            for warning in warned:
                subject, _, complaint = str(warning.message).rpartition("' ")
                if complaint == "was never awaited":
                    self.accounts.append("! never-awaited " + subject.partition("'")[2])
        if self.unforeseen:
            raise Fault(self.unforeseen[0])
        events = sorted(self.events, key=lambda event: event[:2])  # stable: a task's own lines keep their order
        lines = [" ".join(map(str, event)) for event in events] + unfinished + sorted(self.accounts)
        return "\n".join(lines) + "\n"

    def play(self):
        """Runs main to its end, then cancels what is left. Returns the `left` lines."""
        try:
            ending = "result " + shown(self.loop.run_until_complete(self.spawn("main", "main")))
        except (Deadlock, Fault):
            raise
        except asyncio.CancelledError:
            ending = "cancelled"
        except BaseException as error:
            ending = "raised " + shown(error)
        self.note(ending, "main")

        rest = sorted(asyncio.all_tasks(self.loop), key=asyncio.Task.get_name)
        unfinished = [f"left {task.get_name()}" for task in rest]
        for task in rest:
            task.cancel()
        if rest:
            self.loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        for task in rest:
            if not task.cancelled() and task.exception() is not None:
                self.accounts.append(f"! shutdown {task.get_name()} {shown(task.exception())}")
        return unfinished


# ---------------------------------------------------------------------------------------------- ops: plain statements


@op("log")
async def log(run, scope, text):
    run.note(text)


@op("sleep")
async def sleep(run, scope, ms):
    await asyncio.sleep(ms)


@op("busy")
async def busy(run, scope, ms):
    run.loop.now += ms


@op("return")
async def return_(run, scope, value=None):
    return Leave(value)


@op("raise")
async def raise_(run, scope, *exception):
    raise build(*exception)


@op("reraise")
async def reraise(run, scope):
    raise scope.caught


@op("raise_again")
async def raise_again(run, scope):
    return BARE_RAISE


@op("call")
async def call(run, scope, body):
    value = await run.coroutine(body)
    run.note(f"call {body} -> {shown(value)}")


@op("forget")
async def forget(run, scope, body):
    run.coroutine(body)


@op("repeat")
async def repeat(run, scope, times, body):
    for _ in range(times):
        if left := await run.block(body, scope):
            return left


@op("try")
async def try_(run, scope, body, handlers, otherwise=None, finally_=None):
    async def guarded():
        try:
            left = await run.block(body, scope)
        except (Deadlock, Fault, GeneratorExit):
            raise
        except BaseException as error:
            for names, handler in handlers:
                if isinstance(error, kinds(names)):
                    run.note(f"caught {shown(error)}")
                    return await run.block(handler, dataclasses.replace(scope, caught=error))
            raise
        return left or await run.block(otherwise or [], scope)

    if not finally_:
        return await guarded()
    left = None
    try:
        left = await guarded()
    finally:
        override = await run.block(finally_, scope)
    return override or left


@functools.cache
def except_star(handlers):
    """A function whose body is one `try` with that many `except*` clauses; Python has no other way to vary them."""
    clauses = "".join(
        f"    except* kinds({index}) as group:\n"
        f"        if await handle({index}, group):\n"
        f"            raise\n"
        for index in range(handlers)
    )
    names = {}
    exec(f"async def attempt(body, kinds, handle):\n    try:\n        return await body()\n{clauses}", names)
    return names["attempt"]


@op("try_star")
async def try_star(run, scope, body, handlers):
    async def handle(index, group):
        run.note(f"caught* {shown(group)}")
        left = await run.block(handlers[index][1], dataclasses.replace(scope, caught=group))
        return left is BARE_RAISE

    return await except_star(len(handlers))(
        lambda: run.block(body, scope), lambda index: kinds(handlers[index][0]), handle)


@op("expect")
async def expect(run, scope, names, body):
    try:
        left = await run.block(body, scope)
    except kinds(names) as error:
        run.note(f"raised {type(error).__name__}")
        return None
    run.note("raised nothing")
    return left


@op("let")
async def let(run, scope, name, value):
    run.vars[name] = list(value) if isinstance(value, list) else value


@op("append")
async def append(run, scope, name, value):
    run.vars[name].append(value)


@op("show")
async def show(run, scope, name):
    run.note(f"show {name} -> {shown(run.vars[name])}")


# ----------------------------------------------------------------------------------------------- ops: tasks, futures


@op("spawn")
async def spawn(run, scope, name, body):
    run.vars[name] = run.spawn(name, body)


@op("drop")
async def drop(run, scope, name):
    del run.vars[name]
    gc.collect()


@op("await")
async def await_(run, scope, name):
    value = await run.vars[name]
    run.note(f"await {name} -> {shown(value)}")


@op("cancel")
async def cancel(run, scope, name, *message):
    run.note(f"cancel {name} -> {shown(run.vars[name].cancel(*message))}")


@op("cancel_self")
async def cancel_self(run, scope, *message):
    asyncio.current_task().cancel(*message)


def counting(word):
    async def count(run, scope, *name):
        task = run.vars[name[0]] if name else asyncio.current_task()
        run.note(" ".join([word, *name, "->", str(getattr(task, word)())]))
    return count


OPS["uncancel"] = counting("uncancel")
OPS["cancelling"] = counting("cancelling")


@op("state")
async def state(run, scope, name):
    run.note(f"state {name} {run.condition_of(name)}")


@op("callback")
async def callback(run, scope, name, *tag):
    title = " ".join([name, *tag])

    def ended(future):
        run.note(f"callback {title} {run.condition_of(name)}", "-")

    run.vars[name].add_done_callback(run.watchers.setdefault(title, ended))


@op("callback_remove")
async def callback_remove(run, scope, name, *tag):
    title = " ".join([name, *tag])
    run.note(f"callback_remove {title} -> {run.vars[name].remove_done_callback(run.watchers.get(title))}")


@op("future")
async def future(run, scope, name):
    run.vars[name] = run.loop.create_future()


@op("set_result")
async def set_result(run, scope, name, value):
    run.vars[name].set_result(value)


@op("set_exception")
async def set_exception(run, scope, name, *exception):
    run.vars[name].set_exception(build(*exception))


@op("result")
async def result(run, scope, name):
    run.note(f"result {name} -> {shown(run.vars[name].result())}")


@op("exception")
async def exception(run, scope, name):
    run.note(f"exception {name} -> {shown(run.vars[name].exception())}")


@op("all_tasks")
async def all_tasks(run, scope):
    run.note(f"all_tasks -> {shown(sorted(task.get_name() for task in asyncio.all_tasks()))}")


# ------------------------------------------------------------------------------------------------- ops: many at once


def gathered(run, label, mode, sources):
    return asyncio.gather(*run.awaitables(sources, label), return_exceptions=(mode == "return_exceptions"))


@op("gather")
async def gather(run, scope, label, mode, sources):
    values = list(await gathered(run, label, mode, sources))
    run.note(f"gather {label} -> {shown(values)}")
    run.vars[label] = values


@op("gather_future")
async def gather_future(run, scope, label, mode, sources):
    run.vars[label] = gathered(run, label, mode, sources)


def partition(values):
    return ([value for value in values if not isinstance(value, Exception)],
            [value for value in values if isinstance(value, Exception)])


@op("tally")
async def tally(run, scope, label, kind):
    good, bad = partition(run.vars[label])
    chosen = [error for error in bad if isinstance(error, EXCEPTIONS[kind])]
    run.note(f"tally {label} successes {shown(good)} failures {shown(bad)} "
             f"counts {len(good)}+{len(bad)} of-type {kind} {shown(chosen)}")


@op("compound")
async def compound(run, scope, label, text):
    if errors := partition(run.vars[label])[1]:
        raise ExceptionGroup(text, errors)


@op("wait")
async def wait(run, scope, names, ms, until):
    by_task = {run.vars[name]: name for name in names}
    parts = await asyncio.wait(list(by_task), timeout=ms, return_when=until)
    done, pending = (", ".join(sorted(by_task[task] for task in part)) for part in parts)
    run.note(f"wait done [{done}] pending [{pending}]")


@op("as_completed")
async def as_completed(run, scope, label, sources, ms):
    for following in asyncio.as_completed(run.awaitables(sources, label), timeout=ms):
        try:
            value = await following
        except asyncio.CancelledError:
            raise
        except TimeoutError:
            run.note(f"next {label} timed out")
            break
        except Exception as error:
            run.note(f"next {label} raised {shown(error)}")
        else:
            run.note(f"next {label} -> {shown(value)}")


@op("as_completed_list")
async def as_completed_list(run, scope, label, sources, ms):
    for index, following in enumerate(asyncio.as_completed(run.awaitables(sources, label), timeout=ms)):
        run.vars[f"{label}.{index}"] = following


@op("wait_for")
async def wait_for(run, scope, label, source, ms):
    value = await asyncio.wait_for(run.awaitable(source, label), ms)
    run.note(f"wait_for {label} -> {shown(value)}")


@op("shield")
async def shield(run, scope, label, source):
    run.vars[label] = run.awaitable(source, label)
    value = await asyncio.shield(run.vars[label])
    run.note(f"shield {label} -> {shown(value)}")


@op("shield_future")
async def shield_future(run, scope, label, source):
    run.vars[label] = asyncio.shield(run.awaitable(source, f"{label}.0"))


# ------------------------------------------------------------------------------------------- ops: groups and timeouts


@op("group")
async def group(run, scope, body):
    async with asyncio.TaskGroup() as made:
        left = await run.block(body, dataclasses.replace(scope, group=made))
    return left


@op("group_new")
async def group_new(run, scope, name):
    run.vars[name] = asyncio.TaskGroup()


@op("start")
async def start(run, scope, name, body, of=None):
    owner = run.vars[of] if of is not None else scope.group
    run.vars[name] = owner.create_task(run.coroutine(body), name=name)


@op("timeout")
async def timeout(run, scope, ms, body):
    async with asyncio.timeout(ms) as made:
        left = await run.block(body, dataclasses.replace(scope, timeouts=(*scope.timeouts, made)))
    return left


@op("timeout_new")
async def timeout_new(run, scope, name, ms):
    run.vars[name] = asyncio.timeout(ms)


@op("timeout_at")
async def timeout_at(run, scope, name, when):
    run.vars[name] = asyncio.timeout_at(when)


@op("timeout_info")
async def timeout_info(run, scope, name):
    limit = run.vars[name]
    when = limit.when()
    run.note(f"timeout {name} when {'none' if when is None else round(when)} expired {shown(limit.expired())}")


@op("reschedule")
async def reschedule(run, scope, ms, of=None):
    limit = run.vars[of] if of is not None else scope.timeouts[-1]
    limit.reschedule(None if ms is None else run.loop.now + ms)


@op("with")
async def with_(run, scope, name, body):
    async with run.vars[name]:
        left = await run.block(body, scope)
    return left


# ---------------------------------------------------------------------------------------------- ops: synchronisation


@op("lock")
async def lock(run, scope, name):
    run.vars[name] = asyncio.Lock()


@op("sem")
async def sem(run, scope, name, value, *kind):
    run.vars[name] = (asyncio.BoundedSemaphore if "bounded" in kind else asyncio.Semaphore)(value)


@op("event")
async def event(run, scope, name):
    run.vars[name] = asyncio.Event()


@op("condition")
async def condition(run, scope, name, on=None):
    run.vars[name] = asyncio.Condition(None if on is None else run.vars[on])


@op("barrier")
async def barrier(run, scope, name, parties):
    run.vars[name] = asyncio.Barrier(parties)


@op("acquire")
async def acquire(run, scope, name):
    run.note(f"acquire {name} -> {shown(await run.vars[name].acquire())}")


@op("release")
async def release(run, scope, name):
    run.vars[name].release()


@op("locked")
async def locked(run, scope, name):
    run.note(f"locked {name} -> {shown(run.vars[name].locked())}")


@op("set")
async def set_(run, scope, name):
    run.vars[name].set()


@op("clear")
async def clear(run, scope, name):
    run.vars[name].clear()


@op("is_set")
async def is_set(run, scope, name):
    run.note(f"is_set {name} -> {shown(run.vars[name].is_set())}")


@op("wait_event")
async def wait_event(run, scope, name):
    await run.vars[name].wait()
    run.note(f"event {name}")


@op("notify")
async def notify(run, scope, name, count):
    run.vars[name].notify(count)


@op("notify_all")
async def notify_all(run, scope, name):
    run.vars[name].notify_all()


@op("wait_notify")
async def wait_notify(run, scope, name):
    await run.vars[name].wait()
    run.note(f"notified {name}")


@op("wait_until")
async def wait_until(run, scope, name, variable):
    value = await run.vars[name].wait_for(lambda: run.vars[variable])
    run.note(f"until {name} {variable} -> {shown(value)}")


@op("barrier_wait")
async def barrier_wait(run, scope, name):
    run.note(f"barrier {name} -> {await run.vars[name].wait()}")


@op("barrier_reset")
async def barrier_reset(run, scope, name):
    await run.vars[name].reset()


@op("barrier_abort")
async def barrier_abort(run, scope, name):
    await run.vars[name].abort()


@op("barrier_info")
async def barrier_info(run, scope, name):
    meeting = run.vars[name]
    run.note(f"barrier {name} parties {meeting.parties} waiting {meeting.n_waiting} broken {shown(meeting.broken)}")


# ------------------------------------------------------------------------------------------------------- ops: queues

QUEUES = {"fifo": asyncio.Queue, "lifo": asyncio.LifoQueue, "priority": asyncio.PriorityQueue}


@op("queue")
async def queue(run, scope, name, maxsize, order):
    run.vars[name] = QUEUES[order](maxsize)


@op("put")
async def put(run, scope, name, item):
    await run.vars[name].put(item)
    run.note(f"put {name} {shown(item)}")


@op("put_nowait")
async def put_nowait(run, scope, name, item):
    run.vars[name].put_nowait(item)
    run.note(f"put {name} {shown(item)}")


@op("get")
async def get(run, scope, name):
    run.note(f"get {name} -> {shown(await run.vars[name].get())}")


@op("get_nowait")
async def get_nowait(run, scope, name):
    run.note(f"get {name} -> {shown(run.vars[name].get_nowait())}")


@op("task_done")
async def task_done(run, scope, name):
    run.vars[name].task_done()


@op("join")
async def join(run, scope, name):
    await run.vars[name].join()
    run.note(f"joined {name}")


@op("queue_info")
async def queue_info(run, scope, name):
    line = run.vars[name]
    run.note(f"queue {name} size {line.qsize()} empty {shown(line.empty())} full {shown(line.full())} "
             f"maxsize {line.maxsize}")


# --------------------------------------------------------------------------------------------- ops: exception groups


@op("split")
async def split(run, scope, exception, names):
    matching, rest = build(*exception).split(kinds(names))
    run.note(f"split match {shown(matching)} rest {shown(rest)}")


@op("subgroup")
async def subgroup(run, scope, exception, names):
    run.note(f"subgroup {shown(build(*exception).subgroup(kinds(names)))}")


@op("derive")
async def derive(run, scope, exception, members):
    run.note(f"derive {shown(build(*exception).derive([build(*member) for member in members]))}")


# --------------------------------------------------------------------------------------------------------- the program


def main():
    parser = argparse.ArgumentParser(description="Record what asyncio does with each scenario.")
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE.json")
    parser.add_argument("--print", action="store_true", help="print the traces instead of writing FILE.trace")
    options = parser.parse_args()
    if sys.version_info < (3, 13) or sys.implementation.name != "cpython":
        sys.exit("record.py: the traces are those of CPython 3.13 or later")
    for path in options.files:
        try:
            trace = Run(json.loads(path.read_text(encoding="utf-8"))).trace()
        except (OSError, ValueError, KeyError, Fault) as problem:
            print(f"{path}: {problem}", file=sys.stderr)
            return 2
        if options.print:
            sys.stdout.write(trace)
        else:
            path.with_suffix(".trace").write_text(trace, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
