"""What users call data, read as batches."""

import itertools

import keras
import numpy as np
import pytest

import kspike
from kspike._batches import batches_of, unaugmented

pytestmark = pytest.mark.once
X, Y = np.arange(70 * 4, dtype="float32").reshape(70, 2, 2, 1), np.arange(70)


class Endless(keras.utils.PyDataset):
    """Keras asks for as many batches as it says; indices beyond are no error."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[:4] + index, Y[:4]


def test_arrays_are_cut():
    assert [len(batch) for batch in batches_of(X)] == [32, 32, 6]
    np.testing.assert_array_equal(np.concatenate(list(batches_of(X, 16))), X)
    images, labels = zip(*batches_of((X, Y)), strict=True)
    np.testing.assert_array_equal(np.concatenate(images), X)
    np.testing.assert_array_equal(np.concatenate(labels), Y)
    assert [batch[0].shape for batch in batches_of((keras.ops.convert_to_tensor(X),))][-1] == (6, 2, 2, 1)


def test_batches_stay_what_they_are():
    given = [X[:4], X[4:6]]
    assert list(batches_of(given)) == given
    assert [len(batch) for batch in batches_of([(X[:3], Y[:3])])] == [2]
    assert len(list(batches_of(Endless()))) == 2
    assert len(list(itertools.islice(batches_of((X[i : i + 2], Y[i : i + 2]) for i in itertools.count()), 5))) == 5


def test_a_part_of_a_data_set_is_read_unaugmented():
    data = kspike.data.load("digits", batch_size=64, seed=0)
    one, other = (np.concatenate([b[0] for b in batches_of(unaugmented(data.train))]) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"pass one, such as data\.test"):
        batches_of(data)


def test_what_holds_no_images_is_refused():
    for wrong in (5, "digits", None, {"x": X}):
        with pytest.raises(ValueError, match="Expected images, or batches of"):
            batches_of(wrong)
    with pytest.raises(ValueError, match=r"lengths \[70, 3\]"):
        batches_of((X, Y[:3]))


def test_data_of_unknown_length_is_read_up_to_a_bound():
    given = batches_of((X[:8], Y[:8]) for _ in itertools.count())
    with pytest.raises(ValueError, match="gave more than 20 images: it seems to have no end; say how many"):
        list(batches_of((batch for batch in given), most=20))
    assert len(list(batches_of([(X[:8], Y[:8])] * 4, most=20))) == 4  # its length is known


@pytest.mark.shared
def test_labels_that_are_words_give_no_accuracy():
    config = kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=8, depth=1, num_heads=1, timesteps=1)
    batches = [(np.zeros((2, 8, 8, 1), "float32"), np.array(["ant", "bee"]))]
    assert kspike.cost.measure(kspike.Spikformer(config), batches, progress=False).accuracy is None
