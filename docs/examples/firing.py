"""Training that sees what its neurons fire, and pays for it."""
import keras
import kspike

data = kspike.data.load("digits", batch_size=64, seed=0)
config = kspike.SpikformerConfig(
    input_shape=data.input_shape, timesteps=2, embed_dim=32, depth=1, num_heads=2, v_threshold=0.6,
    stem_pool=(False, False, False, True),
)
model = kspike.Spikformer(config, spike_regularizer=kspike.regularizers.FiringRate(weight=0.05))
model.compile(
    keras.optimizers.Adam(3e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy", kspike.metrics.FiringRate(model)],
)
rates = kspike.training.FiringRates(data.validation)                  # rates by layer and energy, after each epoch
log = keras.callbacks.CSVLogger("firing.csv")                         # or keras.callbacks.TensorBoard("logs")
history = model.fit(data.train, validation_data=data.validation, epochs=10, callbacks=[rates, log]).history
print(history["val_accuracy"][-1], history["val_firing_rate"][-1], history["energy_mj"][-1])
print(rates.report)
