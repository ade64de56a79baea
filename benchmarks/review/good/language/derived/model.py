"""A feed-forward language model with its gradient."""

import numpy as np


def init(rng, letters, context, embedding, hidden):
    """A list of parameters: embeddings, two layers with biases."""
    inputs = context * embedding
    return [
        rng.normal(0, 0.3, (letters, embedding)),
        rng.normal(0, inputs**-0.5, (inputs, hidden)),
        np.zeros(hidden),
        rng.normal(0, hidden**-0.5, (hidden, letters)),
        np.zeros(letters),
    ]


def forward(params, x):
    """Log-probabilities of the next character, and what the gradient needs."""
    emb, w1, b1, w2, b2 = params
    e = emb[x].reshape(len(x), -1)
    h = np.tanh(e @ w1 + b1)
    z = h @ w2 + b2
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True)), (e, h)


def loss_and_grad(params, x, y):
    """Mean cross-entropy in nats, and its gradient in the order of the parameters."""
    emb, w1, _, w2, _ = params
    logp, (e, h) = forward(params, x)
    rows = np.arange(len(y))
    loss = -logp[rows, y].mean()
    dz = np.exp(logp)
    dz[rows, y] -= 1
    dz /= len(y)
    dh = (dz @ w2.T) * (1 - h**2)
    de = (dh @ w1.T).reshape(*x.shape, -1)
    demb = np.zeros_like(emb)
    np.add.at(demb, x, de)
    return loss, [demb, e.T @ dh, dh.sum(0), h.T @ dz, dz.sum(0)]


def perplexity(params, x, y):
    logp, _ = forward(params, x)
    return float(np.exp(-logp[np.arange(len(y)), y].mean()))
