"""The triggers by which the database writes down what changes a number of the home page."""

from __future__ import annotations

from django.db import connection

# What a mailing, and its owner, must be for the mailing to count as active.
SENDS = "{row}.is_active AND {row}.status <> 'finished'"
OWNER_SENDS = "EXISTS (SELECT 1 FROM accounts_user u WHERE u.id = {row}.owner_id AND u.is_active)"
NEW_SENDS, OLD_SENDS = SENDS.format(row="NEW"), SENDS.format(row="OLD")
NEW_OWNER, OLD_OWNER = OWNER_SENDS.format(row="NEW"), OWNER_SENDS.format(row="OLD")
CHANGE = "INSERT INTO home_change (name, address, amount)"

# Name: table, event, condition, statements. Both databases understand all of it.
ROW_TRIGGERS = {
    "home_client_renamed": (
        "mailings_client",
        "UPDATE OF email",
        "OLD.email <> NEW.email",
        f"{CHANGE} VALUES ('clients', OLD.email, -1), ('clients', NEW.email, 1);",
    ),
    "home_mailing_added": (
        "mailings_mailing",
        "INSERT",
        "",
        f"{CHANGE} VALUES ('mailings', '', 1);"
        f"{CHANGE} SELECT 'active', '', 1 WHERE {NEW_SENDS} AND {NEW_OWNER};",
    ),
    "home_mailing_removed": (
        "mailings_mailing",
        "DELETE",
        "",
        f"{CHANGE} VALUES ('mailings', '', -1);"
        f"{CHANGE} SELECT 'active', '', -1 WHERE {OLD_SENDS} AND {OLD_OWNER};",
    ),
    "home_mailing_changed": (
        "mailings_mailing",
        "UPDATE OF is_active, status, owner_id",
        "OLD.is_active <> NEW.is_active OR OLD.status <> NEW.status OR OLD.owner_id <> NEW.owner_id",
        f"{CHANGE} SELECT 'active', '', -1 WHERE {OLD_SENDS} AND {OLD_OWNER};"
        f"{CHANGE} SELECT 'active', '', 1 WHERE {NEW_SENDS} AND {NEW_OWNER};",
    ),
    "home_owner_changed": (
        "accounts_user",
        "UPDATE OF is_active",
        "OLD.is_active <> NEW.is_active",
        f"{CHANGE} SELECT 'active', '', CASE WHEN NEW.is_active THEN COUNT(*) ELSE -COUNT(*) END "
        f"FROM mailings_mailing m WHERE m.owner_id = NEW.id AND {SENDS.format(row='m')};",
    ),
}
# Clients come and go by thousands: PostgreSQL is called once for each statement.
CLIENT_TRIGGERS = {
    "home_client_added": ("INSERT", "NEW", 1),
    "home_client_removed": ("DELETE", "OLD", -1),
}
NAMES = {
    **{name: table for name, (table, *_rest) in ROW_TRIGGERS.items()},
    **dict.fromkeys(CLIENT_TRIGGERS, "mailings_client"),
}


def are_installed() -> bool:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        else:
            cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
        return set(NAMES) <= {name for (name,) in cursor.fetchall()}


def make_triggers() -> None:
    make = make_in_sqlite if connection.vendor == "sqlite" else make_in_postgresql
    drop_triggers()
    for name in NAMES:
        run(*make(name))


def make_in_sqlite(name: str) -> list[str]:
    if name in CLIENT_TRIGGERS:
        event, row, amount = CLIENT_TRIGGERS[name]
        table, when = NAMES[name], ""
        body = f"{CHANGE} VALUES ('clients', {row}.email, {amount});"
    else:
        table, event, when, body = ROW_TRIGGERS[name]
    condition = f"WHEN {when}" if when else ""
    return [f"CREATE TRIGGER {name} AFTER {event} ON {table} {condition} BEGIN {body} END"]


def make_in_postgresql(name: str) -> list[str]:
    if name in CLIENT_TRIGGERS:
        event, row, amount = CLIENT_TRIGGERS[name]
        table, each = NAMES[name], f"REFERENCING {row} TABLE AS rows FOR EACH STATEMENT"
        body = f"{CHANGE} SELECT 'clients', email, {amount} FROM rows;"
    else:
        table, event, when, body = ROW_TRIGGERS[name]
        each = f"FOR EACH ROW {f'WHEN ({when})' if when else ''}"
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$ BEGIN {body} RETURN NULL; END $$",
        f"CREATE TRIGGER {name} AFTER {event} ON {table} {each} EXECUTE FUNCTION {name}()",
    ]


def drop_triggers() -> None:
    if connection.vendor == "sqlite":
        run(*(f"DROP TRIGGER IF EXISTS {name}" for name in NAMES))
    else:
        run(*(f"DROP TRIGGER IF EXISTS {name} ON {table}" for name, table in NAMES.items()))
        run(*(f"DROP FUNCTION IF EXISTS {name}()" for name in NAMES))


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
