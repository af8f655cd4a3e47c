import inspect

import pytest

from dgm_run import errors

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_built_from_its_message(kind):
    # so that another process, which is told the name and the message, can raise it again
    error = kind("what is wrong")
    assert isinstance(error, errors.UserError)
    assert str(error) == "what is wrong"
