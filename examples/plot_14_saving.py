"""
Saving, loading, ONNX
=====================

A fitted pipeline as a small file for Python, and as one file for programs without Python.
"""

# %%
# A pipeline of the extractor and a linear classifier.
import tempfile
from pathlib import Path

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import VGGFeatureExtractor, load_digit_pair

X, y = load_digit_pair((8, 6), return_X_y=True)
vgg = VGGFeatureExtractor("block2_pool", weights="synthetic", pooling="avg", input_size=32)
model = make_pipeline(vgg, StandardScaler(), LogisticRegression()).fit(X[:100], y[:100])

# %%
# The pickle holds the hash of the weights, and not the weights: they must be available where it is
# loaded, and the package's own always are.
import joblib

folder = tempfile.TemporaryDirectory()
pickled = Path(folder.name, "model.joblib")
joblib.dump(model, pickled)
loaded = joblib.load(pickled)
print(f"the same predictions: {(loaded.predict(X) == model.predict(X)).all()}")

# %%
# The ONNX file holds everything: preprocessing, network, scaler and classifier.
import numpy as np
import onnxruntime

from sktransfer import export_onnx

onnx = Path(folder.name, "model.onnx")
export_onnx(model, onnx)
session = onnxruntime.InferenceSession(onnx)
images = X.reshape(-1, 8, 8, 1).astype(np.float32)
label, probability = session.run(["label", "probabilities"], {"images": images})
print(f"the same predictions: {(label == model.predict(X)).all()}")
print(f"largest difference of probabilities: {abs(probability - model.predict_proba(X)).max():.1e}")

# %%
import matplotlib.pyplot as plt

sizes = {path.name: path.stat().st_size / 1000 for path in (pickled, onnx)}
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
bars = left.bar(list(sizes), list(sizes.values()), color=["#0072B2", "#E69F00"])
left.bar_label(bars, fmt="{:,.0f} kB")
left.set_ylabel("size of the file, kB")
right.plot(model.predict_proba(X)[:, 1], probability[:, 1], ".", color="#0072B2")
right.set_xlabel("probability of an eight, scikit-learn")
right.set_ylabel("the same, ONNX Runtime")
folder.cleanup()
