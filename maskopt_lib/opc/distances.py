"""Distances on binary masks: to the outline, and to where another shape is as near."""

import cv2
import numpy as np


def distance(mask: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Distance of each pixel of a mask to the nearest one outside, in pixels between centres; 0 outside.

    Parameters
    ----------
    mask : (y, x) uint8, 0 or 1.
    dtype : ``np.float32`` or ``np.float64``; exact but for rounding.

    Returns
    -------
    (y, x); the array's diagonal where nothing is outside.
    """
    if mask.all():
        return np.full(mask.shape, np.hypot(*mask.shape), dtype)
    single = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    if dtype == np.float32:
        return single
    # Squared distances on a grid are whole numbers, and single precision tells them apart.
    return np.sqrt(np.rint(np.square(single, dtype=np.float64)))


def signed_distance(mask: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Distance of pixel centres from a mask's outline in pixels: positive inside, negative outside, never 0.

    Parameters
    ----------
    mask : (y, x) uint8, 0 or 1.
    dtype : as for :func:`distance`.

    Returns
    -------
    (y, x); half a pixel beside the outline, which runs between pixels. Along straight horizontal and vertical edges it
    is exact; elsewhere the outline that pixels stand for is known to half a pixel only, and so is the distance.
    """
    return np.where(mask > 0, distance(mask, dtype) - 0.5, 0.5 - distance(1 - mask, dtype))


def room(mask: np.ndarray) -> np.ndarray:
    """How far each place is from where another shape is as near.

    Parameters
    ----------
    mask : (y, x) uint8.

    Returns
    -------
    (y, x) float32 in pixels: the distance to the border between the cells of the mask's shapes. Shapes that stay where
    it is at least half of a distance can never come closer to each other than that distance.
    """
    n, labels = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_32S)
    if n < 3:
        return np.full(mask.shape, float(sum(mask.shape)), np.float32)
    _, nearest = cv2.distanceTransformWithLabels(1 - mask, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    owner = np.zeros(nearest.max() + 1, np.int32)
    owner[nearest[mask > 0]] = labels[mask > 0]
    cell = owner[nearest]
    border = np.zeros_like(mask)
    border[:-1] |= cell[:-1] != cell[1:]
    border[:, :-1] |= cell[:, :-1] != cell[:, 1:]
    return distance(1 - border)
