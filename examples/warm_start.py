"""Your own training script, warm-started in one line: the line with `ohgw.warm_start`."""

import torch
from sklearn.datasets import load_wine
from torch import nn

import ohgw

x, y = (torch.as_tensor(a) for a in load_wine(return_X_y=True))
x = ((x - x.mean(0)) / x.std(0)).float()
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
x, y = x[order], y[order]
train, test = (x[:130], y[:130]), (x[130:], y[130:])

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
loss = nn.CrossEntropyLoss()
space = ohgw.Space(
    {"learning_rate": ohgw.Float(1e-4, 1, log=True), "momentum": ohgw.Float(0, 0.99)}
)
config = {"learning_rate": 3e-4, "momentum": 0.5}  # whatever your scheduler proposed

config = ohgw.warm_start(model, loss, train, config, space).configuration

optimizer = torch.optim.SGD(
    model.parameters(), lr=config["learning_rate"], momentum=config["momentum"]
)
for _ in range(30):
    for batch in torch.randperm(len(train[0])).split(32):
        optimizer.zero_grad()
        loss(model(train[0][batch]), train[1][batch]).backward()
        optimizer.step()
accuracy = (model(test[0]).argmax(-1) == test[1]).float().mean()
print(f"trained at {config}: test accuracy {accuracy:.3f}")
