import numpy as np

from ganpipe.dedupe.bands import choose_bands


def test_bands_share_out_the_free_bits_and_the_live_ones_evenly() -> None:
    source = np.random.default_rng(0)
    differences = np.packbits(source.random((4000, 128)) < np.repeat([0.5, 0.0], 64), axis=1).view(np.uint64)
    free = np.packbits(np.repeat([1, 0], [120, 8])).view(np.uint64)
    bands = [np.unpackbits(band.view(np.uint8)) for band in choose_bands(differences, free, 4)]
    np.testing.assert_array_equal(np.sum(bands, axis=0), np.repeat([1, 0], [120, 8]))
    assert [int(band[:64].sum()) for band in bands] == [16, 16, 16, 16]
