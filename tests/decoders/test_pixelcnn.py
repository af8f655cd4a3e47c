import dgm_run
from dgm_run.config import instantiate
from dgm_run.networks.pixelcnn import PixelCNN


def test_the_settings_reach_the_network():
    small = ("decoder.channels=6", "decoder.first_kernel_size=5", "decoder.num_layers=3", "decoder.map_channels=2")
    decoder = instantiate(dgm_run.compose("decoder=pixelcnn", *small).model).decoder
    assert isinstance(decoder.network, PixelCNN)
    expected = PixelCNN(1, 1, 6, 5, 3, 3, 2)
    shapes = [tuple(parameter.shape) for parameter in decoder.network.parameters()]
    assert shapes == [tuple(parameter.shape) for parameter in expected.parameters()]
    assert decoder.map_shape == (2, 8, 8)
