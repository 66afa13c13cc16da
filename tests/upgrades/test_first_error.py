from upgrades.first_error import FirstError, first_error


def test_a_warning_is_no_error_and_does_not_hide_one() -> None:
    log = b"$ migrate\nDeprecationWarning: old\nApplying 0147\nIntegrityError: no tax code\n"
    assert first_error(log) == FirstError(4, "IntegrityError: no tax code")


def test_bytes_that_no_database_takes_are_shown_as_such() -> None:
    assert first_error(b"error: \0\xff\n") == FirstError(1, "error: \ufffd\ufffd")
