from tests.networks.pixel_networks import H, W, influence, inputs, make


def test_the_plain_network_has_one():
    of_x, _ = influence(make("pixelcnn"), *inputs())
    seen = of_x[3 * W + 1].view(H, W) > 0  # by the pixel in row 3, column 1
    assert seen[2, :4].all()
    assert not seen[2, 5]  # above it to the right, beyond reach at any depth of the stack
