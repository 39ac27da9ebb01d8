"""A round of training as train.py's, by XGBoost: more trees onto those of BASE_MODEL_URL."""
import worker
from train import train
from trees import Trees

worker.run("train", lambda: train(Trees, "BOOSTING_ROUNDS", 40, "rounds"))
