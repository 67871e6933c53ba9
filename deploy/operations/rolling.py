"""A release goes out: looked at beforehand, rolled, tried by a load of its own, and taken back if that fails."""

import pathlib
from collections.abc import Callable
from typing import Final

import httpx

from deploy.operations import account as accounts
from deploy.operations import examining, releases, smoke, stacks, steps, tasks
from deploy.operations import line as lines

# What a host of the stack `small` reads of a release; the first is its name there.
FILES: Final = {
    "docker-compose.yml": lines.ROOT.parent / "docker-compose.yml",
    "production.yml": lines.ROOT / "compose" / "production.yml",
    "vectorline.service": lines.ROOT / "systemd" / "vectorline.service",
}
SETTLED: Final = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"})
Body = Callable[[lines.Line, str], str]
SECRETS: Final = ("ApiKey", "InternalToken", "ValkeyUrl", "OpenAiKey", "PineconeKey")


class Refused(Exception):
    """The operation is not begun; the message has each reason with its remedy, one a line."""


class TakenBack(Exception):
    """The release did not hold; what ran before runs again. The message says why."""


class Roll:
    """Releases of a line.

    Args:
        line: The line.
        account: Where it is.
        say: Told of each step.
        url: Where its load balancer answers; default: the address of the stack `edge`.
        poll_seconds: Between two looks at what CloudFormation does.
        body: A stack's template; default: its file.
        doctor: Looks before a release; default: where the line is.
        rows: Of the load that tries a release.
    """

    def __init__(
        self,
        line: lines.Line,
        account: accounts.Account,
        say: steps.Say,
        *,
        url: str = "",
        poll_seconds: float = stacks.POLL_SECONDS,
        body: Body | None = None,
        doctor: examining.Doctor | None = None,
        rows: int = smoke.ROWS,
    ) -> None:
        self.line = line
        self.body = body or _of_file
        self._account = account
        self._say = say
        self._url = url
        self._rows = rows
        self.stacks = stacks.Stacks(account.client("cloudformation"), line.tags, poll_seconds)
        self.doctor = doctor or examining.Doctor(line, account, self.stacks, poll_seconds)
        self.releases = releases.Releases(account.client("ecr"), account.client("ssm"), line.name)

    # ---- operations

    def deploy(self, tag: str, *, dry_run: bool = False, despite_doctor: bool = False) -> None:
        """Bring a tag into production.

        Args:
            tag: Of its images.
            dry_run: Say what would be done.
            despite_doctor: Go on although the doctor finds something broken; it is said, and no more.

        Raises:
            Refused: It is not begun.
            TakenBack: It was begun and did not hold.
        """
        self.look_before()
        release = self._found(tag)
        todo = self._steps(release)
        # Where nothing runs yet there is no task to look from; then it looks once the first release is there.
        place = 0 if self.running() else next(n for n, step in enumerate(todo) if step.what.startswith("load "))
        todo.insert(place, self._examined(after=place > 0, despite=despite_doctor))
        steps.run(todo, self._say, dry_run=dry_run)

    def rollback(self, tag: str = "", *, dry_run: bool = False) -> None:
        """Bring back the release before the present one, or one of the last five by its tag.

        Raises:
            Refused: There is none.
            TakenBack: It did not hold either.
        """
        history = self.releases.history()
        running = self.running()
        earlier = (
            [each for each in history if each.tag == tag] if tag else [each for each in history if each.tag != running]
        )
        if not earlier:
            kept = ", ".join(each.tag for each in history) or "none"
            raise Refused(
                f"There is no release {tag or 'before ' + (running or 'the first')} to go back to; kept: {kept}"
            )
        steps.run(self._steps(earlier[0]), self._say, dry_run=dry_run)

    def smoke(self) -> str:
        """Load a few rows through the load balancer and look for each of them.

        Raises:
            smoke.Failed: A row is missing or is wrong.
        """
        with self.caller() as caller:
            return smoke.load(caller, rows=self._rows)

    # ---- what it stands on

    def running(self) -> str:
        """The tag that the stack runs now; empty: none."""
        return self.stacks.outputs(self.line.stack_name(self.line.runs)).get("Release", "")

    def caller(self, *, key: bool = True) -> httpx.Client:
        """An HTTP client for the line's address, with the key of the secret."""
        url = self._url or self.stacks.outputs(self.line.stack_name("edge")).get("Address", "")
        if not url:
            raise Refused("The stack edge has no address: run `bootstrap` first, or say --url.")
        headers = {"X-API-Key": self._api_key()} if key else {}
        return httpx.Client(base_url=url, headers=headers, timeout=60.0)

    def look_before(self) -> None:
        """See that nothing stands in the way of a release.

        Raises:
            Refused: Something does.
        """
        self._account.number()
        problems = [f"deploy/parameters lacks {name} of the stack {stack}." for stack, name in self.lacking()]
        for stack in self.line.stacks:
            status = self.stacks.status(self.line.stack_name(stack))
            if stack not in (self.line.runs, "guard") and not status:
                problems.append(f"The stack {stack} is not there: run `bootstrap`.")
            elif status and status not in SETTLED:
                problems.append(f"The stack {stack} is {status}: wait for its end, or look at its events.")
        if not problems:
            problems += [f"The secret {name} has no value: `bootstrap` puts it in." for name in self._empty_secrets()]
            problems += [f"The alarm {name} sounds: look first what is wrong." for name in self._alarms()]
        if problems:
            raise Refused("\n".join(problems))

    def lacking(self) -> list[tuple[str, str]]:
        """Each stack and parameter that neither the line nor a release has a value for."""
        given = self.line.changed(Release="", ServicesImage="", EnvoyImage="")
        return [(stack, name) for stack in self.line.stacks for name in given.missing(stack)]

    def _empty_secrets(self) -> list[str]:
        arns = self.stacks.outputs(self.line.stack_name("data"))
        return [name for name in SECRETS if not self._account.secret(arns[name])]

    def _api_key(self) -> str:
        arn = self.stacks.outputs(self.line.stack_name("data"))["ApiKey"]
        return str(self._account.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])

    def _alarms(self) -> list[str]:
        found = self._account.client("cloudwatch").describe_alarms(
            AlarmNames=[f"{self.line.name}-failing", f"{self.line.name}-unreachable"], StateValue="ALARM"
        )
        return [each["AlarmName"] for each in found["MetricAlarms"]]

    def _found(self, tag: str) -> releases.Release:
        try:
            return self.releases.find(tag)
        except releases.Missing as missing:
            raise Refused(str(missing)) from missing

    # ---- steps

    def _steps(self, release: releases.Release) -> list[steps.Step]:
        stack = self.line.stack_name(self.line.runs)
        before = self.stacks.parameters(stack)
        todo = []
        if self.line.runs == "small":
            bucket = self.line.parameters["BucketName"]
            todo.append(
                steps.Step(
                    f"put the files of {release.tag} into the bucket",
                    lambda: self._upload(release),
                    tuple(f"s3:PutObject {bucket}/releases/{release.tag}/{name}" for name in FILES),
                )
            )
        todo.append(
            steps.Step(
                f"roll {before.get('Release', 'nothing')} → {release.tag}",
                lambda: self._roll(release),
                (f"cloudformation:CreateChangeSet {stack}", f"cloudformation:ExecuteChangeSet {stack}"),
                lambda: "runs already" if before.items() >= release.parameters.items() else "",
            )
        )
        if self.line.runs == "production":
            todo.append(
                steps.Step(
                    "bring the table up to this release",
                    self._migrate,
                    (f"ecs:RunTask {self.line.name}-provision (init --migrate)",),
                )
            )
        todo.append(
            steps.Step(
                f"load {self._rows} rows through the load balancer and compare each vector",
                lambda: self._try(release, before),
                (f"POST /api/v1/upload (namespace {smoke.NAMESPACE})", f"POST /api/v1/search, {self._rows} times"),
            )
        )
        todo.append(
            steps.Step(
                f"keep {release.tag} among the last {releases.KEPT}",
                lambda: self.releases.good(release),
                (f"ssm:PutParameter {self.releases.key}",),
            )
        )
        return todo

    def _examined(self, *, after: bool, despite: bool) -> steps.Step:
        def look() -> None:
            found = self.doctor.look()
            broken = [str(each) for each in found if each.broken]
            for each in found:
                if despite or not each.broken:
                    self._say(f"  {each}")
            if broken and not despite:
                words = "\n".join([*broken, "`--despite-doctor` goes on all the same."])
                raise TakenBack(words) if after else Refused(words)

        return steps.Step("look at everything that the services need (vectorline doctor)", look, self.doctor.calls())

    def _upload(self, release: releases.Release) -> None:
        objects = self._account.client("s3")
        for name, path in FILES.items():
            key = f"releases/{release.tag}/{name}"
            objects.put_object(Bucket=self.line.parameters["BucketName"], Key=key, Body=_read(path))

    def _roll(self, release: releases.Release) -> None:
        self._apply(self.line.changed(**release.parameters))

    def _apply(self, line: lines.Line) -> None:
        stack = line.runs
        try:
            self.stacks.apply(line.stack_name(stack), self.body(line, stack), line.of(stack), self._say)
        except stacks.Failed as failure:
            raise TakenBack(f"CloudFormation put back what ran before:\n{failure}") from failure

    def _migrate(self) -> None:
        """Run `init --migrate` as a task of its own, in the subnets and group of the indexer."""
        network = self.stacks.outputs(self.line.stack_name("network"))
        runner = tasks.Tasks(self._account, self.line.name, network)
        group = f"/{self.line.name}/indexer"
        try:
            definition = self.stacks.outputs(self.line.stack_name("production"))["ProvisionTask"]
            ended = runner.wait(runner.begin(definition, "IndexerGroup"), group, "provision/provision")
        except tasks.NotRun as failure:
            raise TakenBack(f"The task that migrates the table cannot be started: {failure}") from failure
        if list(ended.codes) != [0]:
            raise TakenBack(
                f"init --migrate ended with {ended.codes} ({ended.reason}); its log is in {group}. The release runs; "
                f"the lists of tasks are slower until it is repeated."
            )

    def _try(self, release: releases.Release, before: dict[str, str]) -> None:
        try:
            self._say(self.smoke())
        except smoke.Failed as failure:
            if not before:
                raise TakenBack(f"{failure}\nThere is no release before {release.tag} to go back to.") from failure
            self._say(f"{failure}\nBack to {before['Release']} ...")
            self._apply(self.line.changed(**{name: before[name] for name in release.parameters}))
            raise TakenBack(f"{release.tag} did not hold: {failure}\n{before['Release']} runs again.") from failure


def _of_file(_line: lines.Line, stack: str) -> str:
    return (lines.TEMPLATES / f"{stack}.yml").read_text(encoding="utf-8")


def _read(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(
            f"{path} cannot be read ({error.strerror}); a release is made from a clone of the repository."
        ) from error
