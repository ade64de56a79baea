from collections.abc import Mapping
import torch
from torch import Tensor
from ohgw.core.protocols import DifferentiableTask
from ohgw.hypergrad.dynamics import State, decode, initial_state, train_step, population_step_
def step_(task, state, batch, hp, noise):
    theta = state.theta.detach().requires_grad_()
    loss = task.train_loss(theta, batch, hp, noise)
    (g,) = torch.autograd.grad(loss, theta)
    with torch.no_grad():
        task.optimizer.update_(state.theta, state.slots, g, state.t, hp)
        state.t.add_(1)
    return loss.detach()
