"""What several tests of networks need."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def unquiet():
    """Gives the batch norms of a network something to do."""

    def with_busy_norms(net):
        with torch.no_grad():
            for name, value in net.named_buffers():
                if name.endswith("running_mean"):
                    value.uniform_(-0.2, 0.2)
                elif name.endswith("running_var"):
                    value.uniform_(0.1, 0.5)
        return net

    return with_busy_norms
