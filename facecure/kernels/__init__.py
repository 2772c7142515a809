"""Native operations and their plain numpy twins.

Every operation exists twice: `name` calls the compiled extension, `name_numpy` is the readable definition with the same
signature. There is no fallback from one to the other.
"""

from facecure.kernels.search import BF16 as BF16
from facecure.kernels.search import has_bf16 as has_bf16
from facecure.kernels.search import segment_best as segment_best
from facecure.kernels.search import segment_best_numpy as segment_best_numpy
from facecure.kernels.search import segment_nearest as segment_nearest
from facecure.kernels.search import segment_nearest_numpy as segment_nearest_numpy
from facecure.kernels.search import to_bf16 as to_bf16
from facecure.kernels.search import to_bf16_numpy as to_bf16_numpy
from facecure.kernels.threads import available_threads as available_threads
from facecure.kernels.warp import Normalise as Normalise
from facecure.kernels.warp import warp_faces as warp_faces
from facecure.kernels.warp import warp_faces_numpy as warp_faces_numpy
