"""Facts about models, by deployment and by public name, as LiteLLM prints them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from pydantic import Field

from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody
from tollgate.adapters.http_api.wire.parts.types import Identifier, PrintedTime
from tollgate.core.errors import BadRequest
from tollgate.core.models.added_model import AddedModel
from tollgate.core.money.pricing import FEMTO_PER_DOLLAR, Price
from tollgate.management.models.added_models import EntryChange
from tollgate.reporting.reports import KnownModel


class ModelInfoRow(ResponseBody):
    """A deployment in /model/info.

    The provider's key is never printed; only administrators see the address.
    """

    model_name: str
    litellm_params: dict[str, str]
    model_info: dict[str, Any]


class ModelInfos(ResponseBody):
    """The answer of /model/info."""

    data: tuple[ModelInfoRow, ...]


class ModelGroup(ResponseBody):
    """All deployments of one public name.

    Prices are those of the most expensive, which is what a call holds.
    """

    model_group: str
    providers: tuple[str, ...]
    mode: str
    max_input_tokens: int | None
    max_output_tokens: int | None
    input_cost_per_token: float | None
    output_cost_per_token: float | None
    price_source: str | None
    price_as_of: str | None
    tpm: int | None = None
    rpm: int | None = None


class ModelGroups(ResponseBody):
    """The answer of /model_group/info."""

    data: tuple[ModelGroup, ...]


class NewModel(RequestBody):
    """POST /model/new: an entry of `model_list`."""

    model_name: Annotated[str, Field(min_length=1, max_length=300)]
    litellm_params: dict[str, Any]
    model_info: dict[str, Any] = Field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id that was chosen, or a new one. Raises BadRequest."""
        return _id(self.model_info) or str(uuid4())

    @property
    def change(self) -> EntryChange:
        """What the request says of the model."""
        return EntryChange(self.model_name, self.litellm_params, self.model_info)


class UpdateModel(RequestBody):
    """POST /model/update. Fields that are absent or null stay."""

    model_name: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    litellm_params: dict[str, Any] | None = None
    model_info: dict[str, Any]

    @property
    def id(self) -> str:
        """The model's id. Raises BadRequest."""
        identity = _id(self.model_info)
        if identity is None:
            raise BadRequest("model_info.id is required", "model_info")
        return identity

    @property
    def change(self) -> EntryChange:
        """What the request says of the model."""
        return EntryChange(self.model_name, self.litellm_params, self.model_info)


class DeleteModel(RequestBody):
    """POST /model/delete."""

    id: Identifier


class AddedModelRow(ResponseBody):
    """A model that was added over the API, without its credentials."""

    model_id: str
    model_name: str
    litellm_params: dict[str, Any]
    model_info: dict[str, Any]
    created_at: PrintedTime
    updated_at: PrintedTime


class DeletedModel(ResponseBody):
    """The answer of /model/delete."""

    message: str


def added_row(model: AddedModel) -> AddedModelRow:
    """Return an added model as printed."""
    return AddedModelRow(
        model_id=model.id,
        model_name=model.model_name,
        litellm_params=msgspec.json.decode(model.params),
        model_info={**msgspec.json.decode(model.info), "id": model.id, "db_model": True},
        created_at=model.created_us,
        updated_at=model.updated_us,
    )


def _id(info: Mapping[str, Any]) -> str | None:
    identity = info.get("id")
    if identity is None:
        return None
    if not isinstance(identity, str) or not re.fullmatch(r"[!-~]{1,300}", identity):
        raise BadRequest("model_info.id must be 1 to 300 visible characters", "model_info")
    return identity


def info(known: KnownModel, *, with_address: bool) -> ModelInfoRow:
    """Return a deployment, as LiteLLM prints it."""
    deployment = known.deployment
    params = {"model": f"{deployment.provider}/{deployment.model}"}
    if with_address:
        params["api_base"] = deployment.api_base
    input_cost, output_cost = _costs(known.price)
    return ModelInfoRow(
        model_name=deployment.model_name,
        litellm_params=params,
        model_info={
            "id": deployment.id,
            "mode": known.mode,
            "access_groups": deployment.access_groups,
            "db_model": deployment.added,
            "litellm_provider": deployment.provider,
            "max_tokens": known.max_output_tokens,
            "max_input_tokens": deployment.max_input_tokens,
            "max_output_tokens": known.max_output_tokens,
            "input_cost_per_token": input_cost,
            "output_cost_per_token": output_cost,
            "output_cost_per_image": _cost_of_picture(known.price),
            "price_source": None if known.price is None else known.price.source,
            "price_as_of": None if known.price is None else known.price.as_of or None,
        },
    )


def group(several: Sequence[KnownModel]) -> ModelGroup:
    """Return the deployments of one public name, as LiteLLM summarises them."""
    priced = [each.price for each in several if each.price is not None]
    dearest = max(priced, key=lambda price: _costs(price)[1] or 0, default=None)
    input_cost, output_cost = _costs(dearest)
    known = [each.deployment.max_input_tokens for each in several]
    prompts = [each for each in known if each is not None]
    limits = [each.max_output_tokens for each in several if each.max_output_tokens is not None]
    return ModelGroup(
        model_group=several[0].deployment.model_name,
        providers=tuple(dict.fromkeys(each.deployment.provider for each in several)),
        mode=several[0].mode,
        max_input_tokens=max(prompts, default=None),
        max_output_tokens=max(limits, default=None),
        input_cost_per_token=input_cost,
        output_cost_per_token=output_cost,
        price_source=None if dearest is None else dearest.source,
        price_as_of=None if dearest is None else dearest.as_of or None,
    )


def _costs(price: Price | None) -> tuple[float | None, float | None]:
    """Return dollars per input and output token, without tiers; None where pictures are paid."""
    if price is None or price.by_picture:
        return None, None
    return price.tiers[0].input / FEMTO_PER_DOLLAR, price.tiers[0].output / FEMTO_PER_DOLLAR


def _cost_of_picture(price: Price | None) -> float | None:
    """Return dollars of a picture, the dearest of several; None where none has a price."""
    each = [] if price is None else [rate for rate in price.pictures if not rate.kind.by_pixel]
    return max((rate.femtousd / FEMTO_PER_DOLLAR for rate in each), default=None)
