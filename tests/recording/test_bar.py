from dgm_run.recording.bar import Part, fit_line


def test_least_important_part_is_dropped():
    parts = [Part(0, "epoch 1/2"), Part(5, "-----"), Part(2, "loss"), Part(1, "left")]
    assert fit_line(parts, 100) == "epoch 1/2  -----  loss  left"
    assert fit_line(parts, 21) == "epoch 1/2  loss  left"
    assert fit_line(parts, 20) == "epoch 1/2  left"
    assert fit_line(parts, 14) == "epoch 1/2"
    assert fit_line(parts, 7) == "epoch 1"
    assert fit_line(parts, 0) == ""
