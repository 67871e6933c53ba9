"""From an empty account to the first row: every stack in its order, the keys, a release, and a load of its own."""

import os
from collections.abc import Mapping
from typing import Final

from deploy.operations import account as accounts
from deploy.operations import line as lines
from deploy.operations import rolling, steps

# What the files of parameters in the repository hold in place of what only an owner can know.
PLACEHOLDERS: Final = {
    "BucketName": "example-",
    "AccessLogsName": "example-",
    "DomainName": "vectors.example.com",
    "HostedZoneId": "Z0123456789EXAMPLE",
    "AlarmEmail": "operators@example.com",
    "BudgetEmail": "operators@example.com",
}
# Secrets that are made without a value, and the variable that holds it here.
KEYS: Final = {"OpenAiKey": "OPENAI_API_KEY", "PineconeKey": "PINECONE_API_KEY"}


class Bootstrap:
    """The way to a line that answers.

    Args:
        roll: What brings the release out.
        account: Where the line is to be.
        say: Told of each step.
        environment: Has the keys of OpenAI and Pinecone, where the secrets have none yet.
    """

    def __init__(
        self,
        roll: rolling.Roll,
        account: accounts.Account,
        say: steps.Say,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._roll = roll
        self._line = roll.line
        self._account = account
        self._say = say
        self._environment = environment

    def announce(self, dollars: str) -> None:
        """Say what will be there afterwards.

        Raises:
            rolling.Refused: Something that only the owner knows is missing.
        """
        self._refuse_early()
        number, name = self._account.number(), self._line.name
        self._say(f"The line {name}, in account {number}, {self._account.region}:")
        for stack in self._line.stacks:
            there = self._roll.stacks.status(self._line.stack_name(stack))
            count = len(lines.template(stack)["Resources"])
            self._say(f"  {self._line.stack_name(stack):<32} {count:>3} resources  {there or 'to be created'}")
        self._say(dollars)

    def go(self, tag: str, *, dry_run: bool = False) -> None:
        """Create what is not there, bring what is there up to its template, and bring the release out.

        Raises:
            rolling.Refused: It is not begun, or images are missing, for which the repositories are now there.
            rolling.TakenBack: The release did not hold.
            stacks.Failed: A stack could not be made; what was there before is put back.
        """
        self._refuse_early()
        before = [stack for stack in self._line.stacks if stack not in (self._line.runs, "guard")]
        todo = [self._stack(stack) for stack in before]
        todo.insert(before.index("data") + 1, self._keys())
        steps.run(todo, self._say, dry_run=dry_run)
        if dry_run:
            self._say(f"would: bring out {tag} as `deploy {tag}` does, then {', '.join(self._behind())}")
            return
        self._roll.deploy(tag)
        steps.run([self._stack(stack) for stack in self._behind()], self._say, dry_run=False)

    def _behind(self) -> list[str]:
        """What refers to what runs the line, and so comes after it."""
        return [stack for stack in self._line.stacks if stack == "guard"]

    def _refuse_early(self) -> None:
        problems = [
            f"{name} is still {self._line.parameters[name]}: put your own into the file of parameters."
            for name, placeholder in PLACEHOLDERS.items()
            if self._line.parameters.get(name, "").startswith(placeholder)
        ]
        problems += [
            f"The file of parameters lacks {name}, which the stack {stack} needs."
            for stack, name in self._roll.lacking()
        ]
        there = self._roll.stacks.outputs(self._line.stack_name("data"))
        for secret, variable in KEYS.items():
            if self._environment.get(variable) or (secret in there and self._account.secret(there[secret])):
                continue
            problems.append(f"{variable} is not set: its value goes into the secret {self._line.name}/….")
        if problems:
            raise rolling.Refused("\n".join(problems))

    def _stack(self, stack: str) -> steps.Step:
        name = self._line.stack_name(stack)
        return steps.Step(
            f"stack {stack}",
            lambda: self._apply(stack),
            (f"cloudformation:CreateChangeSet {name}", f"cloudformation:ExecuteChangeSet {name}"),
        )

    def _apply(self, stack: str) -> None:
        body = self._roll.body(self._line, stack)
        self._roll.stacks.apply(self._line.stack_name(stack), body, self._line.of(stack), self._say)

    def _keys(self) -> steps.Step:
        return steps.Step(
            "put the keys of OpenAI and Pinecone into their secrets",
            self._put_keys,
            tuple(f"secretsmanager:PutSecretValue {secret}" for secret in KEYS),
        )

    def _put_keys(self) -> None:
        outputs = self._roll.stacks.outputs(self._line.stack_name("data"))
        vault = self._account.client("secretsmanager")
        for secret, variable in KEYS.items():
            value = self._environment.get(variable, "")
            if value and value != self._account.secret(outputs[secret]):
                vault.put_secret_value(SecretId=outputs[secret], SecretString=value)
