// The model of tower.py, request.py, services.py and fleet.py once more, for the page's form. A test holds both against each other.
"use strict";

const HBM = "HBM", NVLINK = "NVLink", PCIE = "PCIe", HOST = "host memory", CORES = "tensor cores";
const ENCODED = ["linears", "attention", "memory", "gather", "merge"];
const NUMBER = 2, PASSES = 12, EVEN = 4096, MERGED = 4;
const LARGEST = 256, NEGLIGIBLE = 1e-13, SETTLED = 1e-10, ROUNDS = 5000, REACHED = 1e-6;
const sum = (list, of = (x) => x) => list.reduce((all, x) => all + of(x), 0);

function roofline(data) {
  const seconds = (amount, rate) => amount / data.ceilings.rates[rate].value;

  function at(table, size) {
    const points = data.ceilings.tables[table].points;
    if (size < points[0][0]) return points[0][1];
    const last = points.length - 1;
    if (size >= points[last][0]) return points[last][1];
    let place = 1;
    while (points[place][0] <= size) place++;
    const [low, below] = points[place - 1], [high, above] = points[place];
    return below + (above - below) * Math.log(size / low) / Math.log(high / low);
  }

  // ---- tower.py
  const patches = ([t, h, w]) => t * h * w;
  const rows = (of, grid) => Math.floor(patches(grid) / (MERGED * (of.pooled ? grid[0] : 1)));
  const cost = (of, grid) => patches(grid) * (EVEN + (of.pooled ? patches(grid) : grid[1] * grid[2]));
  const cut = (size, side) => Array.from({ length: Math.ceil(size / side) }, (_, k) => Math.min(side, size - k * side));

  function towerOf(request) {
    const of = data.towers[request.family], linears = of.linears.map((linear) => [...linear]);
    linears[linears.length - 1][1] = request.hidden;
    return { ...of, linears };
  }

  function part(operations, busy, nbytes) {
    const memory = seconds(nbytes, HBM);
    return { operations, nbytes, seconds: Math.max(busy, memory), bound: busy >= memory ? CORES : HBM };
  }

  function linears(of, count) {
    const operations = sum(of.linears, ([joined, out, into, many]) => 2 * count / joined * out * into * many);
    const numbers = sum(of.linears, ([joined, out, into, many]) => many * (out * into + count / joined * (out + into)));
    return part(operations, operations / at("linears", Math.max(count, 1)), count ? NUMBER * numbers : 0);
  }

  function attention(of, grids) {
    let operations = 0, busy = 0, nbytes = 0;
    const table = `attention ${Math.floor(of.hidden / of.heads)}`;
    const add = (length, layers, count) => {
      const work = 4 * length ** 2 * of.hidden * layers * count;
      operations += work;
      busy += work / at(table, length);
      nbytes += 4 * NUMBER * of.hidden * length * layers * count;
    };
    for (const grid of grids) {
      const [t, h, w] = grid, full = of.layers - of.window_layers;
      if (of.pooled) add(patches(grid), full, 1);
      else add(h * w, full, t);
      if (of.window) for (const tall of cut(h, of.window)) for (const wide of cut(w, of.window)) add(tall * wide, of.window_layers, t);
    }
    return part(operations, busy, nbytes);
  }

  function shares(of, grids, ranks) {
    const loads = Array(ranks).fill(0), found = loads.map(() => []);
    for (const grid of [...grids].sort((a, b) => cost(of, b) - cost(of, a))) {
      const rank = loads.indexOf(Math.min(...loads));
      loads[rank] += cost(of, grid);
      found[rank].push(grid);
    }
    return found;
  }

  function encode(of, grids) {
    const count = sum(grids, patches);
    return [linears(of, count), attention(of, grids), part(0, 0, PASSES * NUMBER * count * of.hidden * of.layers)];
  }

  // ---- request.py
  const payload = (request, of, grids) => request.payload_bytes * of.patch * sum(grids, patches);
  const missing = (request) => request.grids.slice(request.cached);
  const times = (request, count) => {
    const repeat = (list) => Array.from({ length: count }, () => list).flat();
    const hits = repeat(request.grids.slice(0, request.cached));
    return { ...request, grids: [...hits, ...repeat(missing(request))], cached: hits.length, text: request.text * count };
  };
  const owners = (request, of) => request.shared
    ? shares(of, missing(request), request.ranks) : Array(request.ranks).fill(missing(request));

  function model(request) {
    const of = towerOf(request), gpu = request.origin === "gpu", owned = owners(request, of);
    const stage = (name, nbytes, operations, floor, bound) => ({ name, nbytes, operations, floor, bound });
    const all = payload(request, of, request.grids), table = gpu ? "BLAKE3 on the GPU" : "BLAKE3 on the host";
    const hash = stage("hash", { [gpu ? HBM : HOST]: all }, {}, 1e6 * all / at(table, Math.max(all, 1)), table);

    const staged = request.staged ? 2 * payload(request, of, missing(request)) : 0;
    const into = gpu ? stage("stage", { [HBM]: staged }, {}, 1e6 * seconds(staged, HBM), HBM)
      : stage("stage", { [HOST]: staged }, {}, staged ? null : 0, HOST);

    const loads = owned.map((grids) => payload(request, of, grids)), whole = sum(loads);
    const far = gpu ? whole - (request.own_gpu ? loads[0] : 0) : 0;
    const rate = request.origin === "pageable" && !request.staged ? "PCIe, pageable" : "PCIe, pinned";
    const link = stage("link", gpu ? { [NVLINK]: far, [HBM]: 2 * far } : {}, {}, 1e6 * seconds(far, NVLINK), NVLINK);
    const up = stage("H2D", gpu ? {} : { [HOST]: whole, [PCIE]: whole, [HBM]: whole }, {},
      gpu ? 0 : 1e6 * seconds(Math.max(...loads), rate), PCIE);

    const ranks = owned.map((grids) => encode(of, grids));
    const busiest = ranks.reduce((best, parts) => sum(parts, (p) => p.seconds) > sum(best, (p) => p.seconds) ? parts : best);
    const encoded = ENCODED.slice(0, 3).map((name, k) => {
      const operations = sum(ranks, (parts) => parts[k].operations);
      return stage(name, { [HBM]: sum(ranks, (parts) => parts[k].nbytes) }, operations ? { [CORES]: operations } : {},
        1e6 * busiest[k].seconds, busiest[k].bound);
    });

    const row = NUMBER * request.hidden * (1 + of.levels);
    const blocks = owned.map((grids) => row * sum(grids, (grid) => rows(of, grid)));
    const together = request.shared && request.ranks > 1, moved = (request.ranks - 1) * sum(blocks);
    const gather = stage("gather", together ? { [NVLINK]: moved, [HBM]: 2 * moved } : {}, {},
      together ? 1e6 * seconds(sum(blocks) - Math.min(...blocks), NVLINK) : 0, NVLINK);

    const each = 2 * (row * sum(request.grids, (grid) => rows(of, grid)) + NUMBER * request.hidden * request.text);
    const merge = stage("merge", { [HBM]: each * request.ranks }, {}, 1e6 * seconds(each, HBM), HBM);
    return [hash, into, link, up, ...encoded, gather, merge];
  }

  // ---- services.py
  function services(request) {
    const floors = Object.fromEntries(model(request).map((stage) => [stage.name, (stage.floor || 0) / 1e6]));
    const of = towerOf(request), batches = [];
    const drawn = request.origin === "gpu" ? Math.max(...owners(request, of).map((grids) => payload(request, of, grids))) : 0;
    for (let count = 1; count <= LARGEST; count *= 2) {
      const stages = model(times(request, count)).filter((stage) => ENCODED.includes(stage.name));
      batches.push([count, sum(stages, (stage) => stage.floor) / 1e6]);
    }
    return {
      worker: floors.hash + floors.stage, staging: floors.stage, egress: floors.link,
      ingress: seconds(drawn, NVLINK) + floors.gather, pcie: floors.H2D, batches,
      payload: payload(request, of, missing(request)),
    };
  }

  return { model, services, plan };
}

// ---- fleet.py
function batchOf(services, requests) {
  let place = services.batches.findIndex(([count]) => count >= requests);
  if (place >= 0 && services.batches[place][0] === requests) return services.batches[place][1];
  place = Math.min(Math.max(place < 0 ? Infinity : place, 1), services.batches.length - 1);
  const [few, short] = services.batches[place - 1], [many, long] = services.batches[place];
  return short + (long - short) * (requests - few) / (many - few);
}

function poisson(mean, most) {
  const chances = [];
  let first = 0, left = 1, log = -mean;
  for (let events = 0; events < most; events++) {
    const chance = Math.exp(log);
    if (chance > NEGLIGIBLE) {
      chances.push(chance);
      left -= chance;
    } else if (chances.length || events > mean) return [first, chances];
    else first = events + 1;
    log += mean ? Math.log(mean / (events + 1)) : -Infinity;
  }
  return [first, [...chances, Math.max(left, 0)]];
}

function batches(arrivals) {
  let share = Array(LARGEST + 1).fill(0);
  share[1] = 1;
  for (let round = 0; round < ROUNDS; round++) {
    const following = Array(LARGEST + 1).fill(0);
    share.forEach((weight, now) => {
      if (weight > NEGLIGIBLE) {
        const [first, chances] = arrivals[now];
        chances.forEach((chance, k) => { following[Math.max(first + k, 1)] += weight * chance; });
      }
    });
    const change = sum(share.map((weight, now) => Math.abs(weight - following[now])));
    share = following;
    if (change < SETTLED) break;
  }
  return share;
}

function atTheVit(rate, services) {
  const times = [0, ...Array.from({ length: LARGEST }, (_, k) => batchOf(services, k + 1))];
  const share = batches(times.map((length) => poisson(rate * length, LARGEST)));
  if (share[LARGEST] > REACHED) return null;
  const idle = sum(share.map((weight, now) => weight * Math.exp(-rate * times[now]))) / rate;
  const cycle = idle + sum(share.map((weight, now) => weight * times[now]));
  const found = Array(2 * LARGEST + 1).fill(0);
  found[0] = idle / cycle;
  share.forEach((weight, now) => {
    const mean = rate * times[now];
    if (weight > NEGLIGIBLE && mean) {
      const [first, chances] = poisson(mean, LARGEST);
      let beyond = 1;
      for (let waiting = 0; waiting < first + chances.length; waiting++) {
        if (waiting >= first) beyond -= chances[waiting - first];
        found[now + waiting] += weight * times[now] / cycle * Math.max(beyond, 0) / mean;
      }
    }
  });
  return found;
}

function enough(elsewhere, atVit, full) {
  const [first, chances] = poisson(elsewhere, Math.ceil(elsewhere + 40 * Math.sqrt(elsewhere) + 100));
  const both = Array(chances.length + atVit.length).fill(0);
  atVit.forEach((weight, there) => {
    if (weight > NEGLIGIBLE) chances.forEach((chance, k) => { both[there + k] += weight * chance; });
  });
  let slots = first, beyond = 1;
  for (const chance of both) {
    if (beyond <= full) break;
    beyond -= chance;
    slots++;
  }
  return [slots, Math.max(beyond, 0)];
}

function plan(fleet, services) {
  const [[few, short], [many, long]] = services.batches.slice(-2);
  const busy = {
    workers: services.worker / fleet.workers, NVLink: Math.max(services.egress, services.ingress),
    PCIe: services.pcie, ViT: (long - short) / (many - few),
  };
  const saturation = {};
  let bottleneck = null, most = Infinity;
  for (const [name, length] of Object.entries(busy)) {
    saturation[name] = length ? 1 / length : null;
    if (length && 1 / length < most) [bottleneck, most] = [name, 1 / length];
  }
  const engines = fleet.hosts * Math.floor(fleet.gpus / fleet.ranks);
  const bare = { saturation, bottleneck, fleet_rate: bottleneck ? most * engines : null,
    held: null, leased: null, slots: null, beyond: null, pool_bytes: null };
  const atVit = fleet.rate < most ? atTheVit(fleet.rate, services) : null;
  if (!atVit) return bare;
  const queued = (length) => length + fleet.rate * length ** 2 / (2 * (1 - fleet.rate * length));
  const latest = fleet.late * sum(Array.from({ length: fleet.ranks }, (_, k) => 1 / (k + 1)));
  const elsewhere = fleet.rate * (services.staging + queued(services.egress) + queued(services.pcie) + latest + fleet.kept);
  const leased = elsewhere + sum(atVit.map((chance, count) => count * chance));
  const [slots, beyond] = enough(elsewhere, atVit, fleet.full);
  return { ...bare, held: leased / fleet.rate, leased, slots, beyond, pool_bytes: slots * services.payload };
}

if (typeof module !== "undefined") module.exports = { roofline };
