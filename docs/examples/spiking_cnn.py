"""A spiking CNN of one's own: ordinary Keras, layer by layer; time is the second axis throughout."""
import keras
import numpy as np

import kspike
from kspike import layers

data = kspike.data.load("digits", batch_size=64, seed=0)

inputs = keras.Input(data.input_shape)                               # (batch, 8, 8, 1)
x = layers.DirectEncoding(timesteps=4)(inputs)                       # (batch, 4, 8, 8, 1): time, then the image
for filters in (16, 32):
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)   # every time step by itself
    x = layers.BatchNorm()(x)                                        # over batch and time together
    x = layers.LIF(surrogate="atan")(x)                              # spikes: 0.0 or 1.0
    x = layers.MaxPool2D()(x)                                        # the largest of four spikes is a spike
x = keras.layers.Reshape((4, 2 * 2 * 32))(x)                         # flattened, time kept
x = layers.LIF()(layers.Dense(64)(x))
outputs = layers.Dense(10, name="head")(layers.RateDecoding()(x))    # the mean over time, then the classes
model = keras.Model(inputs, outputs, name="spiking_cnn")

model.compile(
    keras.optimizers.AdamW(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy", kspike.metrics.FiringRate(model)],
)
model.fit(data.train, validation_data=data.validation, epochs=10)
print(model.evaluate(data.test, return_dict=True, verbose=0))

report = kspike.cost.measure(model, data.test)                       # a row a product: its rate decides what it costs
print(report)
print(report.readings)                                               # accuracy and energy after every time step

model.save("spiking_cnn.keras")
images = data.test[0][0]
assert np.array_equal(keras.models.load_model("spiking_cnn.keras").predict(images, verbose=0),
                      model.predict(images, verbose=0))
