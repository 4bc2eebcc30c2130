import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.dedupe import clusters as clusters_module
from ganpipe.dedupe.clusters import group
from support.codes import apart, skewed_codes

RADII = st.integers(0, 9)


@given(skewed_codes(), RADII)
def test_representative_is_kept_and_the_first_of_its_group(codes: np.ndarray, radius: int) -> None:
    clusters = group(codes, radius)
    for number in np.unique(clusters.cluster):
        members = np.flatnonzero(clusters.cluster == number)
        assert set(clusters.representative[members]) == {members[0]}
        assert clusters.kept[members].tolist() == [True] + [False] * (len(members) - 1)


@given(skewed_codes(), RADII)
def test_every_image_is_within_the_radius_of_what_stays_for_it(codes: np.ndarray, radius: int) -> None:
    clusters = group(codes, radius)
    distance = apart(codes)[np.arange(len(codes)), clusters.representative]
    assert clusters.distance.tolist() == distance.tolist()
    assert (distance <= radius).all()


@given(skewed_codes(), RADII)
def test_no_two_kept_images_are_within_the_radius(codes: np.ndarray, radius: int) -> None:
    kept = apart(codes[group(codes, radius).kept])
    assert (kept[~np.eye(len(kept), dtype=bool)] > radius).all()


@given(skewed_codes(), RADII)
def test_of_several_kept_the_nearest_is_the_representative(codes: np.ndarray, radius: int) -> None:
    clusters, distance = group(codes, radius), apart(codes)
    for image in range(len(codes)):
        first = int(np.argmax(distance[image] == 0))  # equal codes are decided together, at their first image
        earlier = np.flatnonzero(clusters.kept[:first])
        assert (distance[image, earlier] >= clusters.distance[image]).all()


@given(skewed_codes())
def test_radius_0_groups_equal_codes(codes: np.ndarray) -> None:
    names = [row.tobytes() for row in codes]
    assert group(codes, 0).representative.tolist() == [names.index(name) for name in names]


@given(skewed_codes(smallest=1), RADII)
def test_groups_are_numbered_in_the_order_of_their_representatives(codes: np.ndarray, radius: int) -> None:
    clusters = group(codes, radius)
    assert clusters.cluster[clusters.kept].tolist() == list(range(int(clusters.kept.sum())))


@given(skewed_codes(), RADII)
def test_memory_layout_does_not_matter(codes: np.ndarray, radius: int) -> None:
    one, other = group(codes, radius), group(np.asfortranarray(codes), radius)
    assert one.cluster.tolist() == other.cluster.tolist()
    assert one.representative.tolist() == other.representative.tolist()
    assert one.distance.tolist() == other.distance.tolist()


def test_a_chain_does_not_remove_its_far_end() -> None:
    a, b, c = 0b0000, 0b0011, 0b1111  # A~B and B~C within 2 bits, A and C 4 apart
    clusters = group(np.array([[a], [b], [c]], np.uint8), 2)
    assert clusters.representative.tolist() == [0, 0, 2]


def test_no_images_make_no_groups() -> None:
    assert len(group(np.empty((0, 4), np.uint8), 2).cluster) == 0


@given(skewed_codes(), RADII, st.randoms(use_true_random=False))
def test_of_each_group_the_preferred_image_is_kept(codes: np.ndarray, radius: int, source: random.Random) -> None:
    order = np.array(source.sample(range(len(codes)), len(codes)), np.int64)
    clusters, reordered = group(codes, radius, order), group(codes[order], radius)
    assert clusters.representative[order].tolist() == order[reordered.representative].tolist()
    assert clusters.distance[order].tolist() == reordered.distance.tolist()
    rank = np.argsort(order)
    assert (rank[clusters.representative] <= rank).all()


@given(skewed_codes(), RADII, st.integers(0, 60))
def test_what_is_near_a_test_image_is_removed_for_it(codes: np.ndarray, radius: int, number: int) -> None:
    tests, ours = codes[:number], codes[number:]
    clusters = group(ours, radius, tests=tests)
    distance = apart(codes)[len(tests) :]
    near = (distance[:, : len(tests)] <= radius).any(1)
    for image in np.flatnonzero(clusters.leaked):
        assert distance[image, clusters.representative[image] - len(ours)] == clusters.distance[image] <= radius
    # One that is nearer to an image that stays is removed for that; never does one stay that is near a test image.
    assert not (near & clusters.kept).any()
    alone = group(ours[~near], radius)
    assert set(np.flatnonzero(clusters.kept)) <= set(np.flatnonzero(~near))
    assert clusters.kept.sum() == alone.kept.sum()


@given(skewed_codes(smallest=4), RADII, st.data())
def test_vetoed_pairs_are_never_together(codes: np.ndarray, radius: int, data: st.DataObject) -> None:
    tests, ours = codes[:2], codes[2:]
    places = st.integers(0, len(codes) - 1)
    vetoes = data.draw(st.sets(st.tuples(places, places).filter(lambda pair: pair[0] != pair[1]), max_size=6))
    clusters = group(ours, radius, tests=tests, apart=vetoes)
    for pair in vetoes:
        for one, other in (pair, pair[::-1]):
            assert one >= len(ours) or clusters.representative[one] != other
    distance = apart(np.concatenate([ours, tests]))
    assert (distance[np.arange(len(ours)), clusters.representative] == clusters.distance).all()
    # Whoever is kept has been near to no other that is, but where a veto says so.
    kept = np.flatnonzero(clusters.kept)
    for i in kept:
        for j in [*kept[kept > i].tolist(), *range(len(ours), len(codes))]:
            assert distance[i, j] > radius or {(int(i), j), (j, int(i))} & vetoes


def test_a_veto_parts_images_of_equal_codes() -> None:
    codes = np.zeros((4, 1), np.uint8)
    assert group(codes, 0, apart={(2, 0)}).representative.tolist() == [0, 0, 2, 0]


@given(skewed_codes(smallest=3), RADII, st.integers(0, 2), st.randoms(use_true_random=False))
def test_of_near_codes_those_are_duplicates_that_are_verified(
    codes: np.ndarray, radius: int, number: int, source: random.Random
) -> None:
    codes = np.unique(codes, axis=0)  # equal ones are not asked about
    tests, ours = codes[:number], codes[number:]
    order = np.array(source.sample(range(len(ours)), len(ours)), np.int64)
    refused = np.array([[source.random() < 0.5 for _ in codes] for _ in codes], bool).reshape(len(codes), len(codes))
    refused |= refused.T
    clusters = group(ours, radius, order, tests, verify=lambda i, j: ~refused[i, j])
    alone = group(ours, radius, order, tests, verify=lambda i, j: np.zeros(len(i), bool))
    assert alone.kept.all()
    distance = apart(np.concatenate([ours, tests]))
    near = (distance <= radius) & ~refused
    removed = np.flatnonzero(~clusters.kept)
    assert near[removed, clusters.representative[removed]].all()
    kept = np.concatenate([np.flatnonzero(clusters.kept), np.arange(len(ours), len(codes))]).astype(int)
    among = near[np.ix_(kept, kept)]
    stays = kept >= len(ours)  # two test images may be near each other
    assert not (among & ~np.eye(len(kept), dtype=bool) & ~np.logical_and.outer(stays, stays)).any()


@given(skewed_codes(smallest=2), RADII, st.integers(0, 2), st.randoms(use_true_random=False))
def test_no_image_goes_for_another_that_was_not_verified(
    codes: np.ndarray, radius: int, number: int, source: random.Random
) -> None:
    """Equal codes or not; what of these is refused stays only where nothing equal that stays is verified."""
    tests, ours = codes[:number], codes[number:]
    look = np.array([source.randrange(3) for _ in codes])  # images of different looks are no duplicates
    look = np.concatenate([look[number:], look[:number]])
    clusters = group(ours, radius, tests=tests, verify=lambda i, j: look[i] == look[j])
    distance = apart(np.concatenate([ours, tests]))
    every = np.arange(len(ours))
    assert (look[every] == look[clusters.representative]).all()
    assert (distance[every, clusters.representative] == clusters.distance).all()
    assert (clusters.distance <= radius).all()
    assert clusters.kept[clusters.representative[~clusters.leaked]].all()


def test_equal_codes_of_several_looks_make_a_group_each() -> None:
    look = np.array([0, 1, 0, 2, 1, 2, 0])

    def same(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return look[i] == look[j]

    codes = np.zeros((7, 1), np.uint8)
    assert group(codes, 0, verify=same).representative.tolist() == [0, 1, 0, 3, 1, 3, 0]
    assert group(codes, 0, np.arange(7)[::-1], verify=same).representative.tolist() == [6, 4, 6, 5, 4, 5, 6]
    assert group(codes, 0, verify=same, apart={(6, 0)}).representative.tolist()[6] in (2, 6)
    assert group(codes, 0, verify=same, rounds=0).representative.tolist() == [0, 1, 0, 3, 4, 5, 0]


def test_slices_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (300, 2), np.uint8)
    due = group(codes, 3)
    monkeypatch.setattr(clusters_module, "SLICE", 5)
    sliced = group(codes, 3)
    assert (due.representative == sliced.representative).all()
    assert (due.distance == sliced.distance).all()
