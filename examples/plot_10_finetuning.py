"""
Fine-tuning block by block
==========================

Is it worth training the network further, and how much of it?
"""

# %%
# A head on frozen features is compared with training the last block, and the last two, as well.
# What stays frozen runs once for each image.
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sktransfer import HistoryDisplay, VGGClassifier

X, y = load_digits(return_X_y=True)
X_train, X_val, y_train, y_val = train_test_split(
    X, y, train_size=60, test_size=200, stratify=y, random_state=0
)
settings = {"weights": "synthetic", "pooling": "avg", "input_size": 32, "random_state": 0}
tuned = {
    name: VGGClassifier("block3_pool", unfreeze=unfreeze, epochs=epochs, head_epochs=5, **settings)
    for name, unfreeze, epochs in (
        ("head only", None, 8),
        ("block 3", "block3", 8),
        ("blocks 2 and 3", "block2", 8),
    )
}
for classifier in tuned.values():
    classifier.fit(X_train, y_train, X_val=X_val, y_val=y_val)
HistoryDisplay.from_estimator(tuned)

# %%
# The score to report is that on images that were not used for any choice.
for name, classifier in tuned.items():
    print(f"{classifier.score(X_val, y_val):.3f}  {name}")
