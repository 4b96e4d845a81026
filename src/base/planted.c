#include "base/planted.h"

enum planted planted_mistake;
