"""What a first tutorial ends with: FastAPI, a list of floats, and Keras' `predict` in the route."""

import os

import keras
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = keras.models.load_model(os.environ["KERAS_MODEL"])


class Body(BaseModel):
    series: list[list[float]]


@app.post("/predict")
def predict(body: Body) -> dict[str, list[list[float]]]:
    series = np.array(body.series, np.float32)[:, :, None]
    forecast = model.predict(series, verbose=0)
    return {"forecast": (forecast[:, -1] if forecast.ndim == 3 else forecast).tolist()}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", access_log=False)
