import keras

import kspike

data = kspike.data.load("digits", batch_size=60, seed=0)
model = kspike.zoo.load("auto_spikformer_digits")

small = kspike.quantize(model, data.train)                       # int8 weights; calibration images are read in fixed order
print(kspike.export.Quantization.from_dict(small.quantization))  # bytes, spikes changed by neuron, what integers decide
small.save("small.keras")
print(kspike.cost.measure(keras.models.load_model("small.keras"), data.validation))   # int8 costs, accuracy
