from argparse import ArgumentParser
from typing import Any

from releasemgr.lib.commands import Answer, VerbCommand
from releasemgr.roles import ROLES, give_role

NAMES = {role.lower().replace(" ", "-"): role for role in ROLES}


class Command(VerbCommand):
    help = "Gives somebody a role, and makes their account, with a password to be changed, if there is none."

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", metavar="USERNAME")
        parser.add_argument("role", metavar="ROLE", choices=list(NAMES), help=f"One of {', '.join(NAMES)}.")

    def answer(self, **options: Any) -> Answer:
        username, role = options["username"], NAMES[options["role"]]
        password = give_role(username, role)
        text = f"{username} is {role} now."
        if password:
            text += f" The password is {password}: change it on the page Account after the first sign-in."
        return Answer({"username": username, "role": role, "password": password}, text)
