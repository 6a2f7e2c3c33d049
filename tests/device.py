"""What tests/device.sh asks of PyTorch, and what it compares. Needs torch (for CUDA), timm, Pillow."""
import concurrent.futures, json, os, statistics, subprocess, sys, time


def zoo_json(zoo, *args, codes=(0,)):
    ran = subprocess.run([zoo, *args, '--json'], capture_output=True, text=True)
    if ran.returncode not in codes:
        raise SystemExit(f'{args}: exit {ran.returncode}\n{ran.stderr}')
    return json.loads(ran.stdout)


def goldens(zoo, expected):
    expected = json.load(open(expected))['logits_sha256']
    start = time.time()
    results = zoo_json(zoo, 'verify', '--dataset', 'golden', '--device', 'cuda', *sorted(v['model'] for v in expected.values()), codes=(0, 1))['results']
    worst = max(results, key=lambda r: r['distance'])
    off = [r['arch'] for r in results if not r['agrees']]
    other = [r['arch'] for r in results if r['logits_sha256'] != expected[r['arch']]['sha256']]
    print(f'{len(results)} architectures in {time.time() - start:.0f} s; the worst is {worst["distance"]:.2e} sigma from timm ({worst["arch"]}); off: {off or "none"}')
    print(f'the same bits as the emulator: {len(results) - len(other)} of {len(results)}; others: {other or "none"}')


def setup():
    import torch
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    return torch


def torch_speed(torch, name, size, batch, seconds):
    import timm
    with torch.device('cuda'):
        model = timm.create_model(name).eval()
    model = model.to(memory_format=torch.channels_last)
    host = [torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last).pin_memory() for _ in range(2)]
    with torch.inference_mode():
        image = host[0].cuda()
        for _ in range(3):
            model(image)
        torch.cuda.synchronize()
        start, n = time.time(), 0
        while time.time() - start < seconds:
            model(image)
            torch.cuda.synchronize()
            n += batch
        on_card = n / (time.time() - start)
        # The next batch is copied while this one is computed, as timm's PrefetchLoader does.
        copies = torch.cuda.Stream()
        start, n, i = time.time(), 0, 0
        with torch.cuda.stream(copies):
            ahead = host[0].cuda(non_blocking=True)
        while time.time() - start < seconds:
            torch.cuda.current_stream().wait_stream(copies)
            now, i = ahead, i + 1
            with torch.cuda.stream(copies):
                ahead = host[i % 2].cuda(non_blocking=True)
            now.record_stream(torch.cuda.current_stream())
            model(now).cpu()
            n += batch
        from_host = n / (time.time() - start)
    del model
    torch.cuda.empty_cache()
    return on_card, from_host


def speed(zoo, *models):
    torch = setup()
    print(f'torch {torch.__version__}')
    batches = {224: 256, 600: 16, 800: 4}
    for model in models:
        name, size = model.split('@')
        size = int(size)
        ours = zoo_json(zoo, 'bench', name, '--size', str(size), '--device', 'cuda', '--seconds', '3', '--runs', '5')
        here, host = ours['throughput']['on_card'], ours['throughput']['images_per_second']
        theirs, their_host = torch_speed(torch, name, size, batches[size], 3)
        print(f'{name} at {size}: from host memory zoo {host:.1f} (batch {ours["batch"]}), torch {their_host:.1f} (batch {batches[size]}), {host / their_host:.2f}x; '
              f'on the card {here:.1f}, {theirs:.1f}, {here / theirs:.2f}x; one image {ours["latency"]["median_ms"]:.2f} ms', flush=True)


def picture(path, seed):
    import numpy as np
    from PIL import Image
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((500, 375), Image.BICUBIC)
    noise = rng.integers(-12, 13, (375, 500, 3))
    Image.fromarray(np.clip(np.asarray(small).astype(int) + noise, 0, 255).astype(np.uint8)).save(path, quality=92)


def pipeline(zoo, work, *models):
    torch = setup()
    import timm
    from safetensors.torch import save_file
    from timm.data import create_dataset, create_loader, resolve_data_config
    # The first classes' names of the dataset.
    classes = ['n01440764', 'n01443537', 'n01484850', 'n01491361', 'n01494475', 'n01496331', 'n01498041', 'n01514668']
    jobs = []
    for i in range(2000):
        folder = os.path.join(work, 'val', classes[i % len(classes)])
        os.makedirs(folder, exist_ok=True)
        jobs.append((os.path.join(folder, f'picture{i:04}.JPEG'), i))
    with concurrent.futures.ProcessPoolExecutor() as pool:
        list(pool.map(picture, *zip(*jobs), chunksize=32))
    for name in models:
        arch = {'tf_efficientnet_b0_ns': 'tf_efficientnet_b0'}.get(name, name)
        model = timm.create_model(arch).eval()
        weights = os.path.join(work, f'{name}.safetensors')
        save_file(model.state_dict(), weights)
        report = os.path.join(work, f'{name}.json')
        rates = []
        for turn in range(2):
            start = time.time()
            # The weights are random: a claim of any accuracy would be contradicted, and the reason looked for.
            ran = subprocess.run([zoo, 'verify', name, '--weights', weights, '--dataset', 'imagenet-val', '--data-dir', os.path.join(work, 'val'), '--device', 'cuda', '--tolerance', '99', '--report', report, '--force'], capture_output=True, text=True)
            whole = time.time() - start
            if ran.returncode not in (0, 1):
                raise SystemExit(ran.stderr)
            rates.append((json.load(open(report))['timing']['models'][0]['seconds'], whole))
        ours, whole = min(rates)
        config = resolve_data_config({}, model=model)
        model = model.cuda().to(memory_format=torch.channels_last)
        best = None
        for workers in (8, 16):
            loader = create_loader(create_dataset(root=os.path.join(work, 'val'), name=''), input_size=config['input_size'], batch_size=256, use_prefetcher=True, interpolation=config['interpolation'], mean=config['mean'], std=config['std'], num_workers=workers, crop_pct=config['crop_pct'], crop_mode=config['crop_mode'], pin_memory=True)
            with torch.inference_mode():
                model(torch.zeros(256, *config['input_size'], device='cuda').to(memory_format=torch.channels_last))
                torch.cuda.synchronize()
                start = time.time()
                for images, _ in loader:
                    model(images.contiguous(memory_format=torch.channels_last)).argmax(1).cpu()
                torch.cuda.synchronize()
                took = time.time() - start
            best = min(best or took, took)
        print(f'{name}: zoo {2000 / ours:.0f} images/s ({whole:.1f} s the whole command), timm {2000 / best:.0f}, {best / ours:.2f}x', flush=True)


def precision(*names):
    import timm
    import torch
    for name in names:
        torch.manual_seed(0)
        model = timm.create_model(name).eval().cuda().to(memory_format=torch.channels_last)
        images = torch.randn(8, 3, 224, 224, device='cuda').to(memory_format=torch.channels_last)
        with torch.inference_mode():
            torch.backends.cudnn.allow_tf32 = False
            exact = model.double()(images.double())
            model = model.float()
            sigma = exact.std(1, keepdim=True)
            far = lambda logits: ((logits.double() - exact).abs() / sigma).max().item()
            float32 = far(model(images))
            torch.backends.cudnn.allow_tf32 = True
            usual = far(model(images))
            with torch.autocast('cuda', torch.bfloat16):
                autocast = far(model(images))
        print(f'{name} from float64, in sigma of the logits: float32 {float32:.1e}, as torch is by itself (TF32 in cuDNN) {usual:.1e}, bf16 autocast {autocast:.1e}')


globals()[sys.argv[1]](*sys.argv[2:])
