"""Native operations and their plain numpy twins.

Every operation exists twice: `name` calls the compiled extension, `name_numpy` is the readable definition with the same
signature. There is no fallback from one to the other.
"""

from facecure.kernels.dssim import DssimSource as DssimSource
from facecure.kernels.dssim import dssim_planes as dssim_planes
from facecure.kernels.dssim import dssim_planes_numpy as dssim_planes_numpy
from facecure.kernels.fawkes import FawkesMove as FawkesMove
from facecure.kernels.fawkes import FawkesPlanes as FawkesPlanes
from facecure.kernels.fawkes import View as View
from facecure.kernels.fawkes import fawkes_step as fawkes_step
from facecure.kernels.fawkes import fawkes_step_numpy as fawkes_step_numpy
from facecure.kernels.lowkey import LowKeyMove as LowKeyMove
from facecure.kernels.lowkey import LowKeyPlanes as LowKeyPlanes
from facecure.kernels.lowkey import Views as Views
from facecure.kernels.lowkey import lowkey_step as lowkey_step
from facecure.kernels.lowkey import lowkey_step_numpy as lowkey_step_numpy
from facecure.kernels.normalise import Normalise as Normalise
from facecure.kernels.normalise import normalise_faces as normalise_faces
from facecure.kernels.normalise import normalise_faces_numpy as normalise_faces_numpy
from facecure.kernels.scan import Quantized as Quantized
from facecure.kernels.scan import Reach as Reach
from facecure.kernels.scan import ScanBody as ScanBody
from facecure.kernels.scan import largest_magnitude as largest_magnitude
from facecure.kernels.scan import near_rows as near_rows
from facecure.kernels.scan import near_rows_numpy as near_rows_numpy
from facecure.kernels.scan import quantize as quantize
from facecure.kernels.scan import quantize_numpy as quantize_numpy
from facecure.kernels.scan import scan_bodies as scan_bodies
from facecure.kernels.search import segment_nearest as segment_nearest
from facecure.kernels.search import segment_nearest_numpy as segment_nearest_numpy
from facecure.kernels.warp import warp_faces as warp_faces
from facecure.kernels.warp import warp_faces_numpy as warp_faces_numpy
