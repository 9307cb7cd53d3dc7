import kspike

data = kspike.data.load("digits", batch_size=60, seed=0)
model = kspike.zoo.load("auto_spikformer_digits")
card = kspike.zoo.card("auto_spikformer_digits")

report = kspike.export.save(model, "digits.onnx", images=data.validation, class_names=card["class_names"])
print(report)                                                   # logits, classes, and every neuron's spikes
assert report.classes_changed == 0 and report.written.unexplained == 0

kspike.export.save(model, "stream.onnx", images=data.validation, time="step")    # one step, states in and out
kspike.export.save(model, "raw.onnx", images=data.validation, pixels=card["input"])   # takes uint8 pixels
