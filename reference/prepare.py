"""From a caller's request to a validated one with one item per image, identities and prefix keys.

Every check reads only what the checks before it found sound, and nothing is allocated by a number that was not checked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from plumbline.interface import (
    BadExtra,
    BadGrid,
    BadPayload,
    BadSpans,
    BadTokens,
    CallerKey,
    DuplicateRequest,
    Extra,
    Failure,
    Identify,
    Identity,
    Item,
    Layout,
    MalformedRequest,
    Modality,
    Payload,
    PayloadMissing,
    PlumblineError,
    Prepared,
    Request,
    RowCountMismatch,
    Runtime,
    Source,
    Span,
    TooLarge,
    TowerSpec,
    Trust,
)
from reference.encode import grid_of, grid_rows, parts_of, row_count, size
from reference.errors import located
from reference.identify import dense, encode_text, encode_value, prefix_keys

MAX_PATCHES = 2**31


def prepare(requests: Sequence[Request], runtime: Runtime, identify: Identify) -> list[Prepared | Failure]:
    """One result for each request, in order: prepared, or its own failure with a typed error. Requests are only read.

    PREP-006, PREP-009, PREP-012, PREP-024, MOVE-011, ISO-001, ISO-002, ISO-003.
    """
    results: list[Prepared | Failure] = []
    seen: set[str] = set()
    for request in requests:
        try:
            if not isinstance(request.request_id, str):
                raise MalformedRequest("the request's id is not a string")
            with located(f"request {request.request_id}"):
                if request.request_id in seen:
                    raise DuplicateRequest("the second of this id in one call", hint="give each request its own id")
                seen.add(request.request_id)
                results.append(prepare_one(request, runtime, identify))
        except PlumblineError as error:
            results.append(Failure(request.request_id, error))
    return results


def prepare_one(request: Request, runtime: Runtime, identify: Identify) -> Prepared:
    """Validates the request, splits its bundles and identifies each image once. The token ids stay the caller's.

    PREP-003, PREP-011. Raises the first error that it finds.
    """
    check_types(request, runtime.spec)
    check_tokens(request.token_ids, runtime.spec)
    check_spans(request, runtime.spec)
    images: list[Item] = []
    for index, item in enumerate(request.items):
        with located(f"item {index}"):
            images += prepare_item(item, runtime)
    identities: list[Identity] = []
    for identity in identify(images):
        if isinstance(identity, PlumblineError):
            raise identity
        identities.append(identity)
    keys = prefix_keys(request.token_ids, images, identities)
    return Prepared(request.request_id, request.token_ids, tuple(images), tuple(identities), keys)


def prepare_item(item: Item, runtime: Runtime) -> list[Item]:
    """The images of one item, validated."""
    layout = runtime.spec.layouts[item.modality]
    check_payload(item, layout, runtime.spec)
    grids = check_grid(item, layout)
    check_extras(item, images=max(1, len(grids)))
    images = split(item, grids, layout)
    for image in images:
        check_size(image, runtime.budgets.item_patches)
        check_rows(image, runtime.spec)
    return images


def check_types(request: Request, spec: TowerSpec) -> None:
    """Raises MalformedRequest where an item is none, and BadPayload where the tower cannot read its modality."""
    if not isinstance(request.items, tuple):
        raise MalformedRequest("items are not a tuple")
    for index, item in enumerate(request.items):
        with located(f"item {index}"):
            if not isinstance(item, Item) or not isinstance(item.source, Source):
                raise MalformedRequest("not an Item with a Source")
            if not isinstance(item.modality, Modality) or item.modality not in spec.layouts:
                raise BadPayload(f"tower {spec.name} has no layout for this modality", hint="ask another model")


def check_tokens(token_ids: Tensor, spec: TowerSpec) -> None:
    """Raises BadTokens. Placeholders may lie beyond the vocabulary; check_spans asks whose they are. PREP-014."""
    dense(token_ids, BadTokens)
    if token_ids.device.type != "cpu" or token_ids.dtype != torch.int64 or token_ids.dim() != 1 or not len(token_ids):
        what = f"token ids are {token_ids.dtype} {tuple(token_ids.shape)} on {token_ids.device}"
        raise BadTokens(what, hint="send a CPU int64 vector of at least one token")
    if token_ids.nbytes > token_ids.untyped_storage().nbytes() + 2**20:
        raise BadTokens(f"{len(token_ids)} token ids that store far fewer", hint="send them contiguous")
    outside = (token_ids < 0) | (token_ids >= spec.vocab_size)
    outside &= ~torch.isin(token_ids, placeholders(spec))
    if outside.any():
        where = f"position {int(outside.nonzero()[0])}"
        raise BadTokens(f"an id outside the vocabulary of {spec.vocab_size}", where=where, hint="tokenize it again")


def placeholders(spec: TowerSpec) -> Tensor:
    """CPU int64: the placeholder id of each modality."""
    return torch.tensor([layout.placeholder_id for layout in spec.layouts.values()], dtype=torch.int64)


def check_spans(request: Request, spec: TowerSpec) -> None:
    """Raises BadSpans unless spans cover each placeholder once, and nothing else. ITEM-006, ITEM-007, PREP-025."""
    tokens = request.token_ids
    covered = torch.zeros(len(tokens), dtype=torch.bool)
    for index, item in enumerate(request.items):
        with located(f"item {index}"):
            if not isinstance(item.spans, tuple):
                raise BadSpans("spans are not a tuple", hint="send a tuple of (lo, hi)")
            for number, span in enumerate(item.spans):
                with located(f"span {number}"):
                    check_span(span, tokens, covered, spec.layouts[item.modality])
                    covered[span[0] : span[1]] = True
    orphan = torch.isin(tokens, placeholders(spec)) & ~covered
    if orphan.any():
        where = f"position {int(orphan.nonzero()[0])}"
        raise BadSpans("a placeholder that belongs to no item", where=where, hint="send its item, or leave it out")


def check_span(span: Span, tokens: Tensor, covered: Tensor, layout: Layout) -> None:
    """One span against the tokens and the positions that spans before it cover. ITEM-006, ITEM-007."""
    if not isinstance(span, tuple) or len(span) != 2 or type(span[0]) is not int or type(span[1]) is not int:
        raise BadSpans("not a pair of integers", hint="send (lo, hi)")
    lo, hi = span
    if not 0 <= lo < hi <= len(tokens):
        raise BadSpans(f"empty, or outside the {len(tokens)} tokens", hint="0 <= lo < hi <= tokens")
    if covered[lo:hi].any():
        raise BadSpans("overlaps another", hint="give each position one owner")
    if (tokens[lo:hi] != layout.placeholder_id).any():
        raise BadSpans("covers another token than its placeholder", hint="take spans after placeholders are expanded")


def check_payload(item: Item, layout: Layout, spec: TowerSpec) -> None:
    """One dense tensor or several, of a dtype and shape that the tower reads or, precomputed, that rows have.

    PREP-008, PREP-013. Raises BadPayload or PayloadMissing.
    """
    if item.payload is None:
        raise PayloadMissing("no payload", hint="send the patches or the rows of every item")
    dtypes, shape = spec.payload_dtypes, layout.patch_shape
    if item.source is Source.PRECOMPUTED:
        dtypes, shape = frozenset({spec.dtype}), (spec.hidden_size * (1 + spec.side_levels),)
    kinds = set()
    for part in parts_of(item):
        tensor = dense(part, BadPayload)
        if tensor.dtype not in dtypes:
            raise BadPayload(f"dtype {tensor.dtype}", hint=f"send one of {sorted(map(str, dtypes))}")
        if tensor.dim() == 0 or tensor.shape[1:] != shape:
            raise BadPayload(f"shape {tuple(tensor.shape)}", hint=f"send [n, {', '.join(map(str, shape))}]")
        kinds.add((tensor.dtype, tensor.device))
    if len(kinds) != 1:
        raise BadPayload(f"a tuple with {len(kinds)} dtypes and devices", hint="send all tensors alike, at least one")


def check_grid(item: Item, layout: Layout) -> list[tuple[int, int, int]]:
    """The grids of the item's images as integers; empty without a grid.

    Products are of Python integers, which do not wrap, and come before anything is allocated by them.
    PREP-007, ISO-004. Raises BadGrid, or RowCountMismatch where there are more images than spans.
    """
    grid = item.grid_thw
    if grid is None:
        if layout.has_grid and item.source is not Source.PRECOMPUTED:
            raise BadGrid("no grid", hint="send grid_thw")
        return []
    if not layout.has_grid:
        raise BadGrid(f"a grid for {item.modality.value}, which has none", hint="leave grid_thw out")
    dense(grid, BadGrid)
    if grid.device.type != "cpu" or grid.dtype != torch.int64 or grid.dim() != 2 or grid.shape[1] != 3 or not len(grid):
        what = f"grid_thw is {grid.dtype} {tuple(grid.shape)} on {grid.device}"
        raise BadGrid(what, hint="send CPU int64 [n, 3], n >= 1")
    # A stride of zero makes any number of images out of nothing. Each needs a span, so no more of them are read.
    images = max(1, len(item.spans))
    grids = [(t, h, w) for t, h, w in grid[:images].tolist()]
    for t, h, w in grids:
        if min(t, h, w) < 1 or h % layout.merge or w % layout.merge:
            raise BadGrid(f"grid {(t, h, w)}", hint=f"positive, height and width divisible by {layout.merge}")
        if t * h * w > MAX_PATCHES:
            raise BadGrid(f"grid {(t, h, w)} has more than {MAX_PATCHES} patches", hint="send a smaller image")
    if len(grid) > images:
        raise RowCountMismatch(f"{len(grid)} grids for {len(item.spans)} spans", hint="give each image its own spans")
    return grids


def check_extras(item: Item, images: int) -> None:
    """Raises BadExtra unless extras can be hashed, and extras and keys are one per image where they must. PREP-015, PREP-027."""
    if not isinstance(item.extras, Mapping) or not isinstance(item.given, tuple):
        raise BadExtra("extras are not a mapping, or caller keys not a tuple")
    for name, extra in item.extras.items():
        encode_text(name)
        with located(f"extra {name!r}"):
            check_extra(extra, images)
    if len(item.given) not in (0, images):
        raise BadExtra(f"{len(item.given)} caller keys for {images} images", hint="send one per image")
    for key in item.given:
        if not isinstance(key, CallerKey) or not isinstance(key.trust, Trust):
            raise BadExtra("a caller key that is not a CallerKey with a Trust")
        for text in (key.tenant, key.key):
            encode_text(text)


def check_extra(extra: Extra, images: int) -> None:
    """One extra: what identity can encode is what can be sent. PREP-015."""
    if not isinstance(extra, Extra) or type(extra.affects_rows) is not bool or type(extra.per_image) is not bool:
        raise BadExtra("not an Extra whose marks are bool")
    if not extra.per_image:
        encode_value(extra.value)
        return
    if not isinstance(extra.value, tuple) or len(extra.value) != images:
        raise BadExtra(f"not a tuple of {images} values", hint="send one value per image")
    for value in extra.value:
        encode_value(value)


def split(item: Item, grids: Sequence[tuple[int, int, int]], layout: Layout) -> list[Item]:
    """One item per image, in order, each with its patches or rows, grid, spans, extras and key; payloads are views.

    ITEM-005, PREP-001, PREP-002, PREP-004, PREP-005, PREP-016. Raises RowCountMismatch.
    """
    if not grids:
        return [replace(item, extras=extras_of(item, 0))]
    patches = [prod(grid) for grid in grids]
    rows = [grid_rows(grid, layout) for grid in grids]
    if len(grids) == 1:
        payloads: list[Payload] = [item.payload]
    else:
        payloads = split_payload(item, rows if item.source is Source.PRECOMPUTED else patches)
    return [
        replace(
            item,
            payload=payloads[image],
            spans=spans,
            grid_thw=torch.tensor([grids[image]], dtype=torch.int64),
            extras=extras_of(item, image),
            given=item.given[image : image + 1],
        )
        for image, spans in enumerate(split_spans(item.spans, rows))
    ]


def split_payload(item: Item, lengths: Sequence[int]) -> list[Payload]:
    """A bundle's payload: one tensor cut along dim 0, or one tensor per image already. PREP-001, PREP-002, PREP-016."""
    parts = parts_of(item)
    if isinstance(item.payload, Tensor):
        if size(item) != sum(lengths):
            what = f"{size(item)} patches or rows, {sum(lengths)} in the grids"
            raise RowCountMismatch(what, hint="send all of each image, once")
        return list(torch.split(item.payload, list(lengths)))
    if len(parts) != len(lengths):
        raise RowCountMismatch(f"{len(parts)} tensors for {len(lengths)} images", hint="send one per image or in all")
    return list(parts)


def split_spans(spans: Sequence[Span], rows: Sequence[int]) -> list[tuple[Span, ...]]:
    """Each image's spans, as listed: until its rows are covered, and for the last image to the end.

    A span across two images, or one too many, leaves an image with a wrong count, which check_rows finds.
    """
    groups: list[list[Span]] = [[] for _ in rows]
    image, covered = 0, 0
    for lo, hi in spans:
        if covered >= rows[image] and image + 1 < len(rows):
            image, covered = image + 1, 0
        groups[image].append((lo, hi))
        covered += hi - lo
    return [tuple(group) for group in groups]


def extras_of(item: Item, image: int) -> dict[str, Extra]:
    """The extras of one image: its own value of a per-image extra, the whole of any other. PREP-005."""
    extras = dict(item.extras)
    for name, extra in item.extras.items():
        if extra.per_image and isinstance(extra.value, tuple):
            extras[name] = replace(extra, value=extra.value[image], per_image=False)
    return extras


def check_size(item: Item, item_patches: int) -> None:
    """Raises TooLarge: more patches, tiles or precomputed rows than the budget for one item. PREP-010."""
    if size(item) > item_patches:
        raise TooLarge(f"{size(item)} patches where {item_patches} are allowed", hint="send a smaller image")


def check_rows(item: Item, spec: TowerSpec) -> None:
    """Raises RowCountMismatch unless payload and grid agree, and rows and positions of the spans. ITEM-002."""
    if item.grid_thw is not None:
        grid, layout = grid_of(item.grid_thw), spec.layouts[item.modality]
        due = grid_rows(grid, layout) if item.source is Source.PRECOMPUTED else prod(grid)
        if size(item) != due:
            raise RowCountMismatch(f"{size(item)} patches or rows, {due} in the grid", hint="send all of it, once")
    rows, positions = row_count(item, spec), sum(hi - lo for lo, hi in item.spans)
    if rows != positions:
        raise RowCountMismatch(f"{rows} rows for {positions} positions", hint="expand one placeholder for each row")
