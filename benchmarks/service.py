"""A web service that classifies the image file that a request holds. `serving.py` measures it.

SERVICE_MODEL=model.joblib uvicorn service:app
"""

from __future__ import annotations

import os

import joblib
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

model = joblib.load(os.environ["SERVICE_MODEL"])
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> dict[str, str]:
    content = await request.body()
    labels = await run_in_threadpool(model.predict, [content])
    return {"label": str(labels[0])}
