"""From a recording to a decision: frames, a network, what it costs, and an answer that grows with every frame."""
import keras

import kspike
from kspike.data.events.sets import digits_events

# frames: counts of events, cut the same way for every recording; simulated, travels along; or "nmnist", data_dir="..."
recipe = kspike.training.Recipe(epochs=2, batch_size=64, learning_rate=5e-3, augment="shift")     # take 30 epochs
data = recipe.load_data("digits_events", timesteps=6, frames="time")
config = kspike.SpikformerConfig(
    input_shape=data.input_shape, num_classes=data.num_classes,      # (6, 16, 16, 2), 10: T is the number of frames
    embed_dim=32, depth=1, num_heads=2, mlp_ratio=2.0, stem_pool=(False, False, True, True), tau=1.25, v_threshold=0.6,
)

# a network: the run keeps how recordings were framed, and whatever uses it frames them the same way
model = kspike.training.train(kspike.Spikformer(config), data, recipe, directory="runs/events")
report = kspike.cost.measure(model, data.validation, images=128)
print(report)                                                        # a pixel of 3 events is 3 additions of each weight
assert report.rows[0].macs == 0                                      # counts: the first convolution multiplies nothing

# a decision: recordings, or their files, go in; classes by name come out
recording = digits_events.recordings()[0][0]                         # or kspike.events.read("00002.bin", sensor_size=(34, 34))
predict = kspike.zoo.Predictor("runs/events")
print(recording, predict([recording], top=3)[0])

# a decision that does not wait: one frame at a time, and what is known after each
stream = kspike.models.stream(model)
for frame in kspike.events.to_frames(recording, timesteps=6, by="time"):
    known = keras.ops.convert_to_numpy(keras.ops.softmax(stream.step(frame[None].astype("float32"))))[0]
    print(f"after frame {stream.steps}: {data.class_names[known.argmax()]}, {known.max():.0%}")
assert known.argmax() == predict([recording], top=1)[0][0][0]        # after the last it is what the whole run says
