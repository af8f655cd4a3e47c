import torch

from dgm_run.data.data_split import DataSplit
from dgm_run.trainers.batches import Batches


def make_batches(prefetched=None, num=10, size=4):
    train = DataSplit(torch.zeros(num, 2), None, lambda x: x)
    return Batches(train, size, 0, lambda batches: None if prefetched is None else prefetched.append(list(batches)))


def test_an_epoch_has_every_example_once():
    batches = list(make_batches().iterate(0, 0, 3))
    assert [len(index) for index in batches] == [4, 4, 2]
    assert torch.cat(batches).sort().values.tolist() == list(range(10))


def test_order_depends_on_the_epoch_alone():
    first, second = (torch.cat(list(make_batches().iterate(epoch, 0, 3))) for epoch in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(torch.cat(list(make_batches().iterate(1, 0, 3))), second)


def test_rest_of_an_epoch_continues_its_order():
    whole = list(make_batches().iterate(2, 0, 3))
    rest = list(make_batches().iterate(2, 1, 3))
    assert all(torch.equal(a, b) for a, b in zip(whole[1:], rest, strict=True))
    assert not list(make_batches().iterate(2, 3, 3))


def test_next_batch_is_prefetched():
    prefetched = []
    batches = list(make_batches(prefetched).iterate(0, 0, 3))
    assert [len(each) for each in prefetched] == [2, 2, 1]
    assert torch.equal(prefetched[0][1], batches[1])
