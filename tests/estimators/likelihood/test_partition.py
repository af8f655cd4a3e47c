import pytest

from dgm_run.errors import ConfigError
from dgm_run.estimators.likelihood.ais import AIS
from dgm_run.estimators.likelihood.partition import Exact, ExactWhereItFits
from tests.models.energy.test_rbm import make
from tests.support import energy


def test_enumeration_sums_all_states():
    model = make()
    found = Exact(max_log2_states=3)(model)
    assert found.value == pytest.approx(energy.log_f(model).logsumexp(0).item(), abs=1e-10)
    assert found.method == "exact"


def test_too_many_states_are_refused():
    with pytest.raises(ConfigError, match=r"2\^3 states.*take fewer hidden units"):
        Exact(max_log2_states=2)(make())


@pytest.mark.parametrize(("limit", "method"), [(3, "exact"), (2, "ais")])
def test_fallback_replaces_enumeration(limit, method):
    assert ExactWhereItFits(limit, AIS(10, 10, "linear"))(make()).method == method
