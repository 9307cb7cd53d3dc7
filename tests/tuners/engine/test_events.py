"""TensorBoard's files: the checksum's published check value, and TensorFlow as the reader where it is there."""

import struct

import keras
import pytest

from kspike.tuners.engine.report.tensorboard import EventFile, crc32c


def test_the_checksum_has_its_check_value():
    assert crc32c(b"123456789") == 0xE3069283


def test_records_are_whole_and_a_new_file_takes_the_old_ones_place(tmp_path):
    EventFile(tmp_path / "t").write(0, {"a": 1.0})
    events = EventFile(tmp_path / "t")
    events.write(300, {"search/best": 0.5, "search/front": 7.0})
    assert [path.name for path in (tmp_path / "t").iterdir()] == [events.path.name]
    content, records = events.path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        records.append(content[12 : 12 + length])
        content = content[16 + length :]
    assert len(records) == 2
    assert b"brain.Event:2" in records[0]
    assert b"search/front" in records[1] and struct.pack("<f", 7.0) in records[1]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow reads its own format")
def test_tensorflow_reads_them(tmp_path):
    import tensorflow as tf

    events = EventFile(tmp_path)
    for step in (0, 1, 1000):
        events.write(step, {"search/best": 0.5 + step, "search/front": 7.0})
    read = []
    for raw in tf.data.TFRecordDataset(str(events.path)):  # checks both checksums of every record
        event = tf.compat.v1.Event.FromString(raw.numpy())
        read += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    assert read == [
        (step, tag, value)
        for step in (0, 1, 1000)
        for tag, value in (("search/best", 0.5 + step), ("search/front", 7.0))
    ]
