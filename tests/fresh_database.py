"""Brings the database back to how the migrations left it, after a test whose commits were real.

Django truncates each table and then has every permission, role, channel and schedule made anew, which takes many times
as long as the usual test. Here the rows of the first minute are kept in a schema of their own. All others are deleted,
past the triggers that refuse that, and tables that then differ from what was kept are filled again.
"""

from django.db import connection
from django.test import TransactionTestCase

KEEP = """
DROP SCHEMA IF EXISTS kept CASCADE;
CREATE SCHEMA kept;
DO $$
DECLARE name text; found boolean;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('SELECT EXISTS (TABLE public.%I)', name) INTO found;
        IF found THEN EXECUTE format('CREATE TABLE kept.%1$I AS TABLE public.%1$I', name); END IF;
    END LOOP;
END $$;
CREATE VIEW kept.emptied AS
    SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'
    EXCEPT SELECT tablename FROM pg_tables WHERE schemaname = 'kept';
CREATE VIEW kept.guarded AS
    SELECT DISTINCT relname AS name, tgenabled = 'D' AS off FROM pg_trigger JOIN pg_class ON tgrelid = pg_class.oid
    WHERE NOT tgisinternal;
"""

PUT_BACK = """
DO $$
DECLARE name text; found boolean;
BEGIN
    FOR name IN SELECT * FROM kept.emptied LOOP
        EXECUTE format('SELECT EXISTS (TABLE public.%I)', name) INTO found;
        CONTINUE WHEN NOT found;
        IF name IN (SELECT guarded.name FROM kept.guarded) THEN
            EXECUTE format('ALTER TABLE public.%I DISABLE TRIGGER USER', name);
        END IF;
        EXECUTE format('DELETE FROM public.%I', name);
    END LOOP;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'kept' LOOP
        EXECUTE format(
            'SELECT EXISTS ((TABLE public.%1$I EXCEPT ALL TABLE kept.%1$I)'
            ' UNION ALL (TABLE kept.%1$I EXCEPT ALL TABLE public.%1$I))', name
        ) INTO found;
        CONTINUE WHEN NOT found;
        EXECUTE format('DELETE FROM public.%I', name);
        EXECUTE format('INSERT INTO public.%1$I TABLE kept.%1$I', name);
    END LOOP;
END $$;
"""

GUARD_AGAIN = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT guarded.name FROM kept.guarded WHERE off LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE TRIGGER USER', name);
    END LOOP;
END $$;
"""


WORKERS_ANSWER = "UPDATE heartbeats_heartbeat SET at = '2999-01-01'"


def keep() -> None:
    """Once, when the migrations have run. In tests workers have always just answered, unless one says otherwise."""
    with connection.cursor() as cursor:
        cursor.execute(WORKERS_ANSWER)
        cursor.execute(KEEP)
    TransactionTestCase._fixture_teardown = put_back  # type: ignore[attr-defined] # no public place for this


def put_back(_case: TransactionTestCase | None = None) -> None:
    """In two transactions: no trigger is switched on again while a foreign key is still to be checked."""
    with connection.cursor() as cursor:
        cursor.execute(PUT_BACK)
        cursor.execute(GUARD_AGAIN)
